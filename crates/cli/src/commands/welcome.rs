//! `berth __welcome`: the built-in MCP server on standard input and output. Small and real, so that the first call
//! works on a machine that has nothing else; it serves clients of both eras on one process.

use std::collections::BTreeMap;
use std::os::fd::AsFd as _;
use std::time::Duration;

use rmcp::handler::server::tool::{InputResponses, RequestState};
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{
    CallToolResponse, CallToolResult, ContentBlock, ElicitRequest, ElicitRequestParams, ElicitResult,
    ElicitationAction, ElicitationSchema, Implementation, InputRequest, InputRequiredResult,
    ProgressNotificationParam, ProtocolVersion, ServerCapabilities, ServerConfig,
};
use rmcp::schemars::{self, JsonSchema};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler, ServiceExt as _, tool, tool_handler, tool_router};
use serde::Deserialize;
use tokio::net::unix::pipe;

use crate::error::CliError;

/// More steps or a longer pause would only hold a call open.
const MOST_STEPS: u32 = 1000;
const LONGEST_PAUSE: u64 = 60_000;
/// The key of the one question that `ask` has.
const QUESTION: &str = "answer";

/// Serves until standard input ends.
pub(crate) async fn run() -> Result<(), CliError> {
    let failed = |e| CliError::because("the welcome server cannot start", e);
    let running = match pipes() {
        Some(transport) => Welcome.serve(transport).await,
        None => Welcome.serve((tokio::io::stdin(), tokio::io::stdout())).await,
    };
    running
        .map_err(|e| failed(Box::<dyn std::error::Error + Send + Sync>::from(e)))?
        .waiting()
        .await
        .map(drop)
        .map_err(|e| CliError::because("the welcome server broke off", e))
}

/// Standard input and output as pipes that the one thread waits for; `None` when they are something else, such as a
/// terminal, which then need threads of their own.
fn pipes() -> Option<(pipe::Receiver, pipe::Sender)> {
    let input = std::io::stdin().as_fd().try_clone_to_owned().ok()?;
    let output = std::io::stdout().as_fd().try_clone_to_owned().ok()?;
    Some((pipe::Receiver::from_owned_fd(input).ok()?, pipe::Sender::from_owned_fd(output).ok()?))
}

#[derive(Debug, Clone)]
struct Welcome;

#[derive(Debug, Deserialize, JsonSchema)]
struct EchoArguments {
    /// What comes back
    message: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct AddArguments {
    /// The first number
    a: f64,
    /// The second number
    b: f64,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct ProgressArguments {
    /// How many steps to take, 1 to 1000
    #[serde(default = "five")]
    #[schemars(range(min = 1, max = 1000))]
    steps: u32,
    /// Milliseconds between two steps, at most 60000
    #[serde(default = "two_hundred")]
    #[schemars(range(max = 60000))]
    delay_ms: u64,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct AskArguments {
    /// What the person in front of the client is asked
    question: String,
}

fn five() -> u32 {
    5
}

fn two_hundred() -> u64 {
    200
}

#[tool_router]
impl Welcome {
    /// Gives the message back
    #[tool(annotations(
        title = "Echo",
        read_only_hint = true,
        destructive_hint = false,
        idempotent_hint = true,
        open_world_hint = false
    ))]
    async fn echo(&self, Parameters(arguments): Parameters<EchoArguments>) -> CallToolResult {
        CallToolResult::success(vec![ContentBlock::text(arguments.message)])
    }

    /// Adds two numbers
    #[tool(annotations(
        title = "Add",
        read_only_hint = true,
        destructive_hint = false,
        idempotent_hint = true,
        open_world_hint = false
    ))]
    async fn add(&self, Parameters(arguments): Parameters<AddArguments>) -> CallToolResult {
        let sum = arguments.a + arguments.b;
        CallToolResult::success(vec![ContentBlock::text(sum.to_string())])
    }

    /// Takes some steps and reports each as progress
    #[tool(annotations(
        title = "Progress",
        read_only_hint = true,
        destructive_hint = false,
        idempotent_hint = true,
        open_world_hint = false
    ))]
    async fn progress(
        &self,
        Parameters(ProgressArguments { steps, delay_ms }): Parameters<ProgressArguments>,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResult, ErrorData> {
        if steps == 0 || MOST_STEPS < steps || LONGEST_PAUSE < delay_ms {
            return Err(ErrorData::invalid_params(
                format!("steps must be 1 to {MOST_STEPS}, delay_ms at most {LONGEST_PAUSE}"),
                None,
            ));
        }
        let token = context.meta.get_progress_token();
        for step in 1..=steps {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(delay_ms)) => {}
                () = context.ct.cancelled() => {
                    return Ok(CallToolResult::error(vec![ContentBlock::text(format!("cancelled before step {step}"))]));
                }
            }
            if let Some(token) = &token {
                let said = ProgressNotificationParam::new(token.clone(), f64::from(step))
                    .with_total(f64::from(steps))
                    .with_message(format!("step {step} of {steps}"));
                context
                    .peer
                    .notify_progress(said)
                    .await
                    .map_err(|e| ErrorData::internal_error(e.to_string(), None))?;
            }
        }
        Ok(CallToolResult::success(vec![ContentBlock::text(format!("took {steps} steps"))]))
    }

    /// Asks the person in front of the client and gives the answer back
    #[tool(annotations(
        title = "Ask",
        read_only_hint = true,
        destructive_hint = false,
        idempotent_hint = false,
        open_world_hint = false
    ))]
    async fn ask(
        &self,
        Parameters(AskArguments { question }): Parameters<AskArguments>,
        RequestState(state): RequestState,
        InputResponses(responses): InputResponses,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let modern = context
            .protocol_version()
            .is_some_and(|version| ProtocolVersion::V_2026_07_28.as_str() <= version.as_str());
        if !modern {
            return ask_in_mid_call(question, &context).await.map(Into::into);
        }
        let answer = responses.as_ref().and_then(|responses| responses.get(QUESTION));
        match answer {
            Some(answer) => {
                // The state is the client's to forge, so nothing is decided by it but that it is the one given out.
                if state.as_deref() != Some(QUESTION) {
                    return Err(ErrorData::invalid_params("`requestState` is not the one given out", None));
                }
                let result: ElicitResult = serde_json::from_value(answer.clone()).map_err(|e| {
                    ErrorData::invalid_params(format!("`inputResponses.{QUESTION}`: {e}"), None)
                })?;
                Ok(answered(&result).into())
            }
            None if !declares_elicitation(&context) => Ok(cannot_ask().into()),
            None => {
                let request = InputRequest::Elicitation(ElicitRequest::new(form(question)?));
                let requests = BTreeMap::from([(QUESTION.to_owned(), request)]);
                Ok(InputRequiredResult::new(Some(requests), Some(QUESTION.to_owned())).into())
            }
        }
    }
}

#[tool_handler]
impl ServerHandler for Welcome {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("berth-welcome", env!("CARGO_PKG_VERSION")))
            .with_instructions(
                "A small server to try Berth with: it echoes, adds, reports progress and asks.",
            )
    }
}

/// Legacy clients are asked while their call is under way.
async fn ask_in_mid_call(
    question: String,
    context: &RequestContext<RoleServer>,
) -> Result<CallToolResult, ErrorData> {
    let able = context.peer.peer_info().is_some_and(|client| client.capabilities.elicitation.is_some());
    if !able {
        return Ok(cannot_ask());
    }
    match context.peer.create_elicitation(form(question)?).await {
        Ok(result) => Ok(answered(&result)),
        Err(error) => {
            Ok(CallToolResult::error(vec![ContentBlock::text(format!("the client could not ask: {error}"))]))
        }
    }
}

fn declares_elicitation(context: &RequestContext<RoleServer>) -> bool {
    context.meta.client_capabilities().is_some_and(|capabilities| capabilities.elicitation.is_some())
}

fn form(question: String) -> Result<ElicitRequestParams, ErrorData> {
    let requested_schema = ElicitationSchema::builder()
        .required_string(QUESTION)
        .build()
        .map_err(|e| ErrorData::internal_error(e, None))?;
    Ok(ElicitRequestParams::FormElicitationParams { meta: None, message: question, requested_schema })
}

fn answered(result: &ElicitResult) -> CallToolResult {
    let text = match result.action {
        ElicitationAction::Accept => {
            let content = result.content.as_ref().and_then(|content| content.get(QUESTION));
            match content.and_then(serde_json::Value::as_str) {
                Some(answer) => format!("the answer is: {answer}"),
                None => "the answer was empty".to_owned(),
            }
        }
        ElicitationAction::Decline => "the question was declined".to_owned(),
        _ => "the question was cancelled".to_owned(),
    };
    CallToolResult::success(vec![ContentBlock::text(text)])
}

fn cannot_ask() -> CallToolResult {
    CallToolResult::error(vec![ContentBlock::text(
        "this client cannot be asked: it does not declare the capability `elicitation`",
    )])
}
