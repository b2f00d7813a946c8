//! The Rust SDK as a client: the same steps as the programs beside it, with the SDK's own means.

#![expect(deprecated, reason = "sampling is deprecated and still served")]

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rmcp::model::{
    CallToolRequest, CallToolRequestParams, CallToolResult, ClientCapabilities, ClientConfig, ClientRequest,
    CreateMessageRequestParams, CreateMessageResult, ElicitRequestParams, ElicitResult, ElicitationAction,
    ErrorData, Implementation, JsonObject, ProgressNotificationParam, ProtocolVersion, SamplingMessage,
    ServerResult,
};
use rmcp::service::{NotificationContext, PeerRequestOptions, RequestContext, RequestHandle, RunningService};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{ClientHandler, ClientLifecycleMode, ClientServiceExt as _, RoleClient};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{Outcome, STEPS};

/// As long as a step may take.
const DEADLINE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

type Client = RunningService<RoleClient, Handler>;

/// Answers what servers ask, and hands progress on.
#[derive(Debug)]
struct Handler {
    progress: mpsc::UnboundedSender<ProgressNotificationParam>,
}

impl ClientHandler for Handler {
    fn get_info(&self) -> ClientConfig {
        let capabilities = ClientCapabilities::builder().enable_elicitation().enable_sampling().build();
        ClientConfig::new(capabilities, Implementation::new("rmcp", "1"))
    }

    async fn create_elicitation(
        &self,
        _: ElicitRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        Ok(ElicitResult::new(ElicitationAction::Accept).with_content(json!({"name": "Ada"})))
    }

    async fn create_message(
        &self,
        _: CreateMessageRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<CreateMessageResult, ErrorData> {
        Ok(CreateMessageResult::new(SamplingMessage::assistant_text("a fixed text"), "fixed".to_owned()))
    }

    async fn on_progress(&self, progress: ProgressNotificationParam, _: NotificationContext<RoleClient>) {
        // Whoever no longer listens does not want to know.
        drop(self.progress.send(progress));
    }
}

/// Runs every step against `url`.
pub(super) fn run(url: &str, token: &str, mode: ClientLifecycleMode) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (progress, mut seen) = mpsc::unbounded_channel();
        let config = StreamableHttpClientTransportConfig::with_uri(url).auth_header(token);
        let transport = StreamableHttpClientTransport::from_config(config);
        let opening = Handler { progress }.serve_with_lifecycle(transport, mode);
        let client = match tokio::time::timeout(DEADLINE, opening).await {
            Ok(Ok(client)) => client,
            Ok(Err(error)) => return failed(&error.to_string()),
            Err(_) => return failed("nothing within 30 s"),
        };
        let steps = BTreeMap::from([
            ("list", within(list(&client)).await),
            ("echo", within(says(&client, "echo", &json!({"message": "Grüße"}), "Grüße")).await),
            ("progress", within(reports(&client, &mut seen)).await),
            ("cancel", within(cancels(&client, &mut seen)).await),
            ("elicit", within(says(&client, "ask", &json!({}), "Hello, Ada!")).await),
            ("sample", within(says(&client, "sample", &json!({}), "a fixed text")).await),
        ]);
        let revision = client.peer_info().map(|info| info.protocol_version.to_string()).unwrap_or_default();
        client.cancel().await.expect("the client's task ends");
        Outcome { steps: steps.into_iter().map(|(name, what)| (name.to_owned(), what)).collect(), revision }
    })
}

/// What the SDK calls discovery only, with the revision that Berth offers.
pub(super) fn discover() -> ClientLifecycleMode {
    ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] }
}

fn failed(why: &str) -> Outcome {
    let steps = STEPS.iter().map(|(step, _)| ((*step).to_owned(), why.to_owned())).collect();
    Outcome { steps, revision: "none".to_owned() }
}

async fn within(step: impl Future<Output = anyhow::Result<()>>) -> String {
    match tokio::time::timeout(DEADLINE, step).await {
        Ok(Ok(())) => "ok".to_owned(),
        Ok(Err(error)) => format!("{error:#}"),
        Err(_) => "nothing within 30 s".to_owned(),
    }
}

async fn list(client: &Client) -> anyhow::Result<()> {
    let names: Vec<String> =
        client.list_all_tools().await?.into_iter().map(|tool| tool.name.into_owned()).collect();
    for wanted in ["echo", "slow", "cancelled", "ask", "sample"] {
        ensure!(names.iter().any(|name| name == wanted), "no `{wanted}` among {names:?}");
    }
    Ok(())
}

async fn says(client: &Client, tool: &'static str, arguments: &Value, wanted: &str) -> anyhow::Result<()> {
    let found = text(&client.call_tool(call(tool, arguments)).await?)?;
    ensure!(found == wanted, "{found:?} instead of {wanted:?}");
    Ok(())
}

async fn reports(
    client: &Client,
    seen: &mut mpsc::UnboundedReceiver<ProgressNotificationParam>,
) -> anyhow::Result<()> {
    let handle = send(client, &json!({"steps": 3, "label": ""})).await?;
    let token = handle.progress_token.clone();
    let ServerResult::CallToolResult(result) = handle.await_response().await? else {
        anyhow::bail!("the answer is no result of a call")
    };
    ensure!(text(&result)? == "done");
    // The SDK hands notifications on beside answers: the last may come after.
    for wanted in 1..=3 {
        let progress = seen.recv().await.context("the client lives")?;
        ensure!(progress.progress_token == token, "the progress of another call");
        ensure!(
            (progress.progress - f64::from(wanted)).abs() < f64::EPSILON,
            "{progress:?} is not step {wanted}"
        );
    }
    Ok(())
}

async fn cancels(
    client: &Client,
    seen: &mut mpsc::UnboundedReceiver<ProgressNotificationParam>,
) -> anyhow::Result<()> {
    let label = format!("{}-{:?}", std::process::id(), std::thread::current().id());
    let handle = send(client, &json!({"steps": 1000, "label": label})).await?;
    // The first progress shows that the tool is running.
    seen.recv().await.context("the client lives")?;
    handle.cancel(Some("enough".to_owned())).await?;
    loop {
        let result = client.call_tool(call("cancelled", &json!({"label": label}))).await?;
        if text(&result)? == "true" {
            return Ok(());
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Calls `slow` and does not wait for its end. The SDK gives every request a progress token.
async fn send(client: &Client, arguments: &Value) -> anyhow::Result<RequestHandle<RoleClient>> {
    let request = ClientRequest::CallToolRequest(CallToolRequest::new(call("slow", arguments)));
    Ok(client.send_cancellable_request(request, PeerRequestOptions::no_options()).await?)
}

fn call(tool: &'static str, arguments: &Value) -> CallToolRequestParams {
    let arguments: JsonObject = arguments.as_object().cloned().unwrap_or_default();
    CallToolRequestParams::new(tool).with_arguments(arguments)
}

fn text(result: &CallToolResult) -> anyhow::Result<String> {
    let said = result.content.first().and_then(|block| block.as_text()).context("no text")?;
    ensure!(result.is_error != Some(true), "{}", said.text);
    Ok(said.text.clone())
}
