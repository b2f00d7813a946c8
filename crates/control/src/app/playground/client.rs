//! A client of one instance's MCP address, of the revision 2026-07-28: each request stands for itself, and whatever the server speaks, its shim
//! translates. It calls in somebody's name through the gateway, as if with their token.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use domain::names::{AccountName, InstanceName};
use domain::shim::MAX_MESSAGE;
use gateway::Principal;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Limited};
use mcp::headers::Known;
use mcp::revision::Revision;
use mcp::sse::{Decoder, Event};

use super::json::Json;
use super::trouble::Trouble;
use crate::app::App;
use crate::auth::Caller;

/// How long a list may take.
const LIST: Duration = Duration::from_secs(15);
/// How long a call may take. Whoever waits longer is better off with a client.
pub(super) const CALL: Duration = Duration::from_mins(5);
/// So many pages of a list are asked for.
const MOST_PAGES: usize = 50;
/// So much is kept of what a server says while it works.
const MOST_SAID: usize = 500;
/// The longest of it, in characters.
const LONGEST_SAID: usize = 4000;
/// The id of every request: none shares an answer with another.
const ID: u64 = 1;

/// What a page can do for its person: it asks them, and has no model and no files of its own.
const CAPABILITIES: &str = r#"{"elicitation":{"form":{},"url":{}},"sampling":{},"roots":{}}"#;

/// What a server says while it works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    /// Since the call began.
    pub(crate) after: Duration,
    pub(crate) what: What,
}

/// Progress, or a line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    Progress {
        done: String,
        total: Option<String>,
        message: Option<String>,
    },
    Log {
        level: String,
        logger: Option<String>,
        text: String,
    },
    /// It says more than is shown.
    More,
}

/// What came next of a call.
#[derive(Debug)]
pub(crate) enum Step {
    Said(Said),
    /// The last.
    Done(Result<Json, Trouble>),
}

/// Somebody at one instance.
#[derive(Clone)]
pub(crate) struct Player {
    app: Arc<App>,
    principal: Arc<Principal>,
    path: Uri,
    name: InstanceName,
    known: Known,
}

impl Player {
    /// Of a caller in their own account.
    pub(crate) fn new(app: &Arc<App>, caller: &Caller, name: &InstanceName) -> Self {
        Self::of(app, &caller.principal, &caller.account_name, name)
    }

    /// Of somebody whom the gateway knows.
    pub(crate) fn of(
        app: &Arc<App>,
        principal: &Arc<Principal>,
        account: &AccountName,
        name: &InstanceName,
    ) -> Self {
        let path = format!("{}{account}/{name}", gateway::PREFIX);
        Self {
            app: Arc::clone(app),
            principal: Arc::clone(principal),
            // Names of accounts and instances are of letters that paths have.
            path: path.parse().unwrap_or_default(),
            name: name.clone(),
            known: Known::new(),
        }
    }

    /// One request whose answer is a result at once.
    ///
    /// # Errors
    /// [`Trouble`].
    pub(crate) async fn ask(&self, method: &str, params: &[(&str, String)]) -> Result<Json, Trouble> {
        let mut call = self.begin(method, params, LIST);
        loop {
            if let Step::Done(result) = call.next().await {
                return result;
            }
        }
    }

    /// All tools, and which of their arguments are repeated in headers.
    ///
    /// # Errors
    /// [`Trouble`].
    pub(super) async fn tools(&mut self) -> Result<Vec<Json>, Trouble> {
        let pages = self.pages("tools/list").await?;
        for page in &pages {
            self.learn(page);
        }
        Ok(pages.iter().flat_map(|page| page.list_of("tools")).cloned().collect())
    }

    /// All items of another list; `member` has them.
    ///
    /// # Errors
    /// [`Trouble`].
    pub(super) async fn list(&self, method: &str, member: &str) -> Result<Vec<Json>, Trouble> {
        let pages = self.pages(method).await?;
        Ok(pages.iter().flat_map(|page| page.list_of(member)).cloned().collect())
    }

    async fn pages(&self, method: &str) -> Result<Vec<Json>, Trouble> {
        let (mut pages, mut params) = (Vec::new(), Vec::new());
        for _ in 0..MOST_PAGES {
            let page = self.ask(method, &params).await?;
            let cursor = page.get("nextCursor").filter(|cursor| cursor.as_str().is_some()).map(Json::compact);
            pages.push(page);
            match cursor {
                Some(cursor) => params = vec![("cursor", cursor)],
                None => break,
            }
        }
        Ok(pages)
    }

    /// Which arguments of tools are repeated in headers.
    fn learn(&mut self, page: &Json) {
        let answer = format!(r#"{{"jsonrpc":"2.0","id":{ID},"result":{}}}"#, page.compact());
        if let Ok(envelope) = mcp::envelope::scan(answer.as_bytes()) {
            // What is not valid was left out by the shim.
            self.known.learn(&envelope);
        }
    }

    /// Sends a request. Whoever drops what comes back ends it.
    pub(crate) fn begin(&self, method: &str, params: &[(&str, String)], limit: Duration) -> Exchange {
        let message = Bytes::from(message(method, params, CAPABILITIES));
        let headers = headers(&self.known, &message);
        let (app, principal, path) = (Arc::clone(&self.app), Arc::clone(&self.principal), self.path.clone());
        let sent = async move {
            let response = app.gateway.call_as(&principal, path, headers, message).await;
            app.metrics.call(response.status());
            response
        };
        let now = Instant::now();
        Exchange { name: self.name.clone(), began: now, limit, said: 0, state: State::Sent(Box::pin(sent)) }
    }

    /// The same request as a shell sends it: its headers, and its text.
    pub(crate) fn request_of(&self, method: &str, params: &[(&str, String)]) -> (HeaderMap, String) {
        let message = message(method, params, "{}");
        (headers(&self.known, message.as_bytes()), message)
    }
}

/// A request; the values of `params` are JSON.
fn message(method: &str, params: &[(&str, String)], capabilities: &str) -> String {
    let prefix = mcp::envelope::META_PREFIX;
    let mut members = format!(
        r#""_meta":{{"{prefix}protocolVersion":"{}","{prefix}clientCapabilities":{capabilities},"{prefix}clientInfo":{{"name":"berth-playground","version":"{}"}},"{prefix}logLevel":"debug","progressToken":{ID}}}"#,
        Revision::V2026_07_28.text(),
        env!("CARGO_PKG_VERSION"),
    );
    for (key, value) in params {
        // Writing to a String cannot fail.
        let _ = write!(members, ",{}:{value}", mcp::errors::quote(key));
    }
    let method = mcp::errors::quote(method);
    format!(r#"{{"jsonrpc":"2.0","id":{ID},"method":{method},"params":{{{members}}}}}"#)
}

fn headers(known: &Known, message: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
    if let Ok(envelope) = mcp::envelope::scan(message) {
        known.each(&envelope, &mut |name, value| {
            // What no header can hold was coded; a schema's own name for one may still be none.
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                headers.insert(name, value);
            }
        });
    }
    headers
}

/// A request under way.
pub(crate) struct Exchange {
    name: InstanceName,
    began: Instant,
    limit: Duration,
    said: usize,
    state: State,
}

enum State {
    Sent(Pin<Box<dyn Future<Output = Response<gateway::Body>> + Send>>),
    Events(Box<Events>),
    Over,
}

struct Events {
    body: Limited<gateway::Body>,
    decoder: Decoder,
    waiting: VecDeque<Event>,
}

impl Exchange {
    /// What comes next; after [`Step::Done`] there is nothing more.
    pub(crate) async fn next(&mut self) -> Step {
        let left = self.limit.saturating_sub(self.began.elapsed());
        let step = match tokio::time::timeout(left, self.step()).await {
            Ok(step) => step,
            Err(_) => Step::Done(Err(Trouble::slow(&self.name, self.limit))),
        };
        if matches!(step, Step::Done(_)) {
            self.state = State::Over;
        }
        step
    }

    /// How long it has taken so far.
    pub(crate) fn took(&self) -> Duration {
        self.began.elapsed()
    }

    async fn step(&mut self) -> Step {
        loop {
            match &mut self.state {
                State::Sent(response) => {
                    let response = response.await;
                    let kind = response.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
                    if !kind.is_some_and(|kind| kind.starts_with(b"text/event-stream")) {
                        return Step::Done(self.whole(response).await);
                    }
                    self.state = State::Events(Box::new(Events {
                        body: Limited::new(response.into_body(), 2 * MAX_MESSAGE),
                        decoder: Decoder::new(MAX_MESSAGE),
                        waiting: VecDeque::new(),
                    }));
                }
                State::Events(events) => {
                    let Some(event) = events.waiting.pop_front() else {
                        match events.more().await {
                            Ok(true) => continue,
                            Ok(false) => return Step::Done(Err(Trouble::broken(&self.name))),
                            Err(trouble) => return Step::Done(Err(trouble)),
                        }
                    };
                    if event.data.is_empty() {
                        continue;
                    }
                    match self.read(&event.data) {
                        Ok(Some(step)) => return step,
                        Ok(None) => {}
                        Err(trouble) => return Step::Done(Err(trouble)),
                    }
                }
                State::Over => return Step::Done(Err(Trouble::broken(&self.name))),
            }
        }
    }

    async fn whole(&mut self, response: Response<gateway::Body>) -> Result<Json, Trouble> {
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_MESSAGE).collect().await;
        let body = body.map_err(|_| Trouble::broken(&self.name))?.to_bytes();
        let text = std::str::from_utf8(&body).map_err(|_| self.strange(status))?;
        match self.read(text) {
            Ok(Some(Step::Done(result))) => result,
            Ok(_) => Err(self.strange(status)),
            Err(_) if !status.is_success() => Err(self.strange(status)),
            Err(trouble) => Err(trouble),
        }
    }

    fn strange(&self, status: StatusCode) -> Trouble {
        Trouble::strange(&self.name, status)
    }

    /// One message: the answer, something said on the way, or nothing for us.
    fn read(&mut self, text: &str) -> Result<Option<Step>, Trouble> {
        let message = Json::parse(text).map_err(|error| Trouble::no_json(&self.name, &error))?;
        if let Some(error) = message.get("error") {
            return Ok(Some(Step::Done(Err(Trouble::told(&self.name, error)))));
        }
        if message.get("id") == Some(&Json::Number(ID.to_string())) {
            return Ok(message.get("result").map(|result| Step::Done(Ok(result.clone()))));
        }
        let said = said(&message).filter(|_| self.said <= MOST_SAID);
        Ok(said.map(|what| {
            self.said += 1;
            let what = if MOST_SAID < self.said { What::More } else { what };
            Step::Said(Said { after: self.took(), what })
        }))
    }
}

impl Events {
    /// Reads on; false at the end.
    async fn more(&mut self) -> Result<bool, Trouble> {
        let Some(frame) = self.body.frame().await else { return Ok(false) };
        // Of what broke off nothing more comes, as of what ended.
        let Ok(frame) = frame else { return Ok(false) };
        if let Some(piece) = frame.data_ref() {
            let mut events = Vec::new();
            self.decoder.push(piece, &mut events).map_err(|_| Trouble::large())?;
            self.waiting.extend(events);
        }
        Ok(true)
    }
}

fn said(message: &Json) -> Option<What> {
    let params = message.get("params")?;
    let shown = |key: &str| {
        params.get(key).map(|value| value.as_str().map_or_else(|| value.compact(), str::to_owned))
    };
    let short = |text: String| text.chars().take(LONGEST_SAID).collect::<String>();
    match message.str_of("method")? {
        "notifications/progress" => Some(What::Progress {
            done: short(shown("progress")?),
            total: shown("total").map(short),
            message: shown("message").map(short),
        }),
        "notifications/message" => Some(What::Log {
            level: short(shown("level")?),
            logger: shown("logger").map(short),
            text: short(shown("data").unwrap_or_default()),
        }),
        _ => None,
    }
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_says_all_that_its_headers_repeat() {
        let mut known = Known::new();
        let list = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"t é","inputSchema":{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"}}}}]}}"#;
        known.learn(&mcp::envelope::scan(list.as_bytes()).unwrap());
        let params = [
            ("name", r#""t é""#.to_owned()),
            ("arguments", r#"{"region":"eu","n":123456789012345678901}"#.to_owned()),
        ];
        let message = message("tools/call", &params, CAPABILITIES);
        let read = Json::parse(&message).unwrap();
        let meta = read.get("params").and_then(|params| params.get("_meta")).unwrap();
        assert_eq!(meta.str_of("io.modelcontextprotocol/protocolVersion"), Some("2026-07-28"));
        assert!(message.contains(r#""n":123456789012345678901"#));
        let headers = headers(&known, message.as_bytes());
        let value = |name: &str| headers[name].to_str().unwrap();
        assert_eq!(value("mcp-protocol-version"), "2026-07-28");
        assert_eq!(value("mcp-method"), "tools/call");
        assert_eq!(value("mcp-name"), "=?base64?dCDDqQ==?=");
        assert_eq!(value("mcp-param-region"), "eu");
    }
}
