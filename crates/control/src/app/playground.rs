//! The playground: what somebody calls of an instance from a page. It goes the way of every other call (`gateway::Gateway::call_as`), so roles, rules,
//! limits and the audit are the same.

mod client;
pub(crate) mod copy;
pub(crate) mod json;
pub(crate) mod offer;
pub(crate) mod outcome;
mod played;
pub(crate) mod questions;
pub(crate) mod schema;
mod trouble;

use std::time::Duration;

use api::errors::ErrorCode;
use domain::names::InstanceName;
use store::instances::InstanceRow;

use self::client::{CALL, Exchange, Step};
pub(crate) use self::client::{Player, Said, What};
use self::json::Json;
use self::offer::Offer;
pub(crate) use self::played::{Ended, Past, Played};
use self::questions::Required;
pub(crate) use self::trouble::Trouble;
use crate::app::{App, Outcome, Problem};
use crate::auth::Caller;

/// A server that asks more often than this for what nobody has to answer asks for ever.
const MOST_ROUNDS: usize = 10;

/// What is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Tool,
    Prompt,
    Resource,
}

impl Kind {
    /// Its word in addresses and forms.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::Prompt => "prompt",
            Self::Resource => "resource",
        }
    }

    /// Of such a word.
    pub(crate) fn of(word: &str) -> Option<Self> {
        [Self::Tool, Self::Prompt, Self::Resource].into_iter().find(|kind| kind.word() == word)
    }

    fn method(self) -> &'static str {
        match self {
            Self::Tool => "tools/call",
            Self::Prompt => "prompts/get",
            Self::Resource => "resources/read",
        }
    }
}

/// One call, or the same again with answers.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) kind: Kind,
    /// The tool's or prompt's name, or the resource's address.
    pub(crate) name: String,
    /// An object.
    pub(crate) arguments: Json,
    /// `inputResponses`, and `requestState` as it came.
    pub(crate) answers: Option<(Json, Option<String>)>,
}

impl Call {
    fn params(&self) -> Vec<(&'static str, String)> {
        let name = Json::text(&*self.name).compact();
        let mut params = match self.kind {
            Kind::Tool | Kind::Prompt => vec![("name", name), ("arguments", self.arguments.compact())],
            Kind::Resource => vec![("uri", name)],
        };
        if let Some((answers, state)) = &self.answers {
            params.push(("inputResponses", answers.compact()));
            params.extend(state.as_ref().map(|state| ("requestState", Json::text(&**state).compact())));
        }
        params
    }
}

/// Refuses container tools.
///
/// # Errors
/// 404: they speak no MCP.
pub(crate) fn require_mcp(row: &InstanceRow) -> Outcome<()> {
    if row.spec.launch.container.is_none() {
        return Ok(());
    }
    let message =
        format!("`{}` is a container tool and speaks no MCP, so there is nothing to call", row.name);
    Err(Problem::refused(ErrorCode::NotFound, message))
}

/// What a server says of itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct About {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) instructions: String,
}

/// The definitions of all tools that an instance lists, by name, as indented JSON.
///
/// # Errors
/// [`Trouble`]; a server without tools has none, and that is no trouble.
pub(crate) async fn definitions(
    app: &std::sync::Arc<App>,
    principal: &std::sync::Arc<gateway::Principal>,
    account: &domain::names::AccountName,
    name: &InstanceName,
) -> Result<Vec<(String, String)>, Trouble> {
    let mut player = Player::of(app, principal, account, name);
    match player.tools().await {
        Ok(tools) => Ok(tools
            .iter()
            .filter_map(|tool| Some((tool.str_of("name")?.to_owned(), tool.pretty())))
            .collect()),
        Err(trouble) if trouble.code.as_deref() == Some("-32601") => Ok(Vec::new()),
        Err(trouble) => Err(trouble),
    }
}

/// Asks a server what it offers its caller.
///
/// # Errors
/// [`Trouble`], when not even its tools are known.
pub(crate) async fn offer(player: &mut Player) -> Result<(About, Offer), Trouble> {
    let is_lacking = |trouble: &Trouble| trouble.code.as_deref() == Some("-32601");
    let discovered = match player.ask("server/discover", &[]).await {
        Err(trouble) if !is_lacking(&trouble) => return Err(trouble),
        discovered => discovered.unwrap_or(Json::Null),
    };
    let tools = match player.tools().await {
        Err(trouble) if !is_lacking(&trouble) => return Err(trouble),
        tools => tools.unwrap_or_default(),
    };
    let has = |key: &str| {
        let capabilities = discovered.get("capabilities");
        capabilities.is_none_or(|capabilities| capabilities.get(key).is_some())
    };
    let list = async |capability: &str, method: &str, member: &str| {
        if !has(capability) {
            return Vec::new();
        }
        // A server may list one kind and fail with another.
        player.list(method, member).await.unwrap_or_default()
    };
    let (prompts, resources, templates) = futures_util::future::join3(
        list("prompts", "prompts/list", "prompts"),
        list("resources", "resources/list", "resources"),
        list("resources", "resources/templates/list", "resourceTemplates"),
    )
    .await;
    let text = |of: Option<&Json>, key: &str| of.and_then(|of| of.str_of(key)).unwrap_or_default().to_owned();
    let meta = discovered.get("_meta");
    let info = meta.and_then(|meta| meta.get("io.modelcontextprotocol/serverInfo"));
    let about = About {
        name: text(info, "name"),
        version: text(info, "version"),
        instructions: text(Some(&discovered), "instructions"),
    };
    let offer = Offer {
        tools: offer::each(&tools, offer::tool),
        prompts: offer::each(&prompts, offer::prompt),
        resources: offer::each(&resources, offer::resource),
        templates: offer::each(&templates, offer::template),
    };
    Ok((about, offer))
}

/// How a call ended, or why it waits.
#[derive(Debug)]
pub(crate) enum End {
    /// It is over.
    Ended(Result<Json, Trouble>),
    /// Somebody has to answer.
    Asks(Required),
}

/// What comes next of a call.
#[derive(Debug)]
pub(crate) enum Next {
    Said(Said),
    /// The last.
    End(End),
}

/// A call under way. Whoever drops it cancels it.
pub(crate) struct Running {
    player: Player,
    call: Call,
    exchange: Exchange,
    rounds: usize,
    /// The resource that shows its result.
    ui: Option<String>,
    /// What its server said so far.
    pub(crate) said: Vec<Said>,
    /// The HTML of that resource.
    pub(crate) app: Option<String>,
    /// How long it took.
    pub(crate) took: Duration,
}

impl Running {
    /// Begins a call.
    pub(crate) fn new(player: Player, call: Call, ui: Option<String>) -> Self {
        let exchange = player.begin(call.kind.method(), &call.params(), CALL);
        let took = Duration::ZERO;
        Self { player, call, exchange, rounds: 0, ui, said: Vec::new(), app: None, took }
    }

    /// What comes next.
    pub(crate) async fn next(&mut self) -> Next {
        loop {
            let result = match self.exchange.next().await {
                Step::Said(said) => {
                    self.said.push(said.clone());
                    return Next::Said(said);
                }
                Step::Done(result) => result,
            };
            self.took += self.exchange.took();
            let Some(required) = result.as_ref().ok().and_then(Required::of) else {
                if self.call.kind == Kind::Tool && result.is_ok() {
                    self.app = app_of(&self.player, self.ui.as_deref()).await;
                }
                return Next::End(End::Ended(result));
            };
            self.rounds += 1;
            match required.answers(&required.untouched()) {
                Ok(answers) if !required.needs_somebody() && self.rounds < MOST_ROUNDS => {
                    self.call.answers = Some((answers, required.state));
                    self.exchange = self.player.begin(self.call.kind.method(), &self.call.params(), CALL);
                }
                _ => return Next::End(End::Asks(required)),
            }
        }
    }

    /// Waits for the end.
    pub(crate) async fn end(&mut self) -> End {
        loop {
            if let Next::End(end) = self.next().await {
                return end;
            }
        }
    }
}

/// The HTML of a resource that shows results.
async fn app_of(player: &Player, ui: Option<&str>) -> Option<String> {
    let uri = Json::text(ui?).compact();
    outcome::app_of(&player.ask("resources/read", &[("uri", uri)]).await.ok()?)
}

/// The call as lines for a shell: `berth call` of a tool, and `curl`.
pub(crate) fn lines(
    app: &App,
    player: &Player,
    caller: &Caller,
    instance: &InstanceName,
    call: &Call,
) -> (Option<String>, String) {
    let call = Call { answers: None, ..call.clone() };
    let arguments = call.arguments.compact();
    let berth = (call.kind == Kind::Tool).then(|| copy::berth(instance.as_str(), &call.name, &arguments));
    let (headers, message) = player.request_of(call.kind.method(), &call.params());
    let url = format!("{}{}{}/{instance}", app.public().url(), gateway::PREFIX, caller.account_name);
    (berth, copy::curl(&url, &headers, &message))
}
