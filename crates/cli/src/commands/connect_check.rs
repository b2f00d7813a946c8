//! `berth connect --check URL`: does what an MCP client does with an address, from the first request without a token to the first call
//! with one, and says which step fails and why.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use domain::secret::Secret;
use fetch::{Fetched, Fetcher, Reach, client};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use oauth::challenge::Challenge;
use oauth::client::discovery::Begin;
use oauth::client::identity::Profile;
use serde::Serialize;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::error::CliError;
use crate::output::Output;

/// How long a person has.
const PATIENCE: Duration = Duration::from_mins(5);
/// The most that is read of an answer, in bytes.
const MAX: usize = 4 << 20;
/// The most that is read of a browser's request, in bytes.
const MAX_REQUEST: usize = 16 << 10;

/// A step that went well.
#[derive(Debug, Serialize)]
struct Done {
    step: &'static str,
    found: String,
}

/// Reports steps as they are done.
struct Report {
    output: Output,
    done: Vec<Done>,
}

impl Report {
    fn done(&mut self, step: &'static str, found: impl Into<String>) -> Result<(), CliError> {
        let found = found.into();
        if !self.output.json() {
            self.output.data(&format!("ok    {step}: {found}"))?;
        }
        self.done.push(Done { step, found });
        Ok(())
    }
}

fn failed(step: &str, why: impl std::fmt::Display, hint: &str) -> CliError {
    CliError::failed(format!("{step}: {why}")).with_hint(hint.to_owned())
}

/// Does all of it, or says where it ends.
pub(crate) async fn run(url: &str, output: Output) -> Result<(), CliError> {
    let fetcher = Fetcher::new(Reach::Everywhere)
        .map_err(|error| CliError::because("the system's certificates cannot be used", error))?;
    let mut report = Report { output, done: Vec::new() };
    let first = post(&fetcher, url, None).await?;
    let token = match first.status {
        StatusCode::OK => {
            report.done("first request", "the server answers without a token")?;
            None
        }
        StatusCode::UNAUTHORIZED => {
            let values =
                first.headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
            let challenge = Challenge::parse(values);
            let named = challenge.as_ref().and_then(|challenge| challenge.resource_metadata.clone());
            report.done(
                "first request",
                named.map_or_else(
                    || {
                        "401, which names no document of the server: clients of 2025-06-18 go no further"
                            .to_owned()
                    },
                    |named| format!("401, which names {named}"),
                ),
            )?;
            Some(authorize(&fetcher, url, challenge.unwrap_or_default(), &mut report).await?)
        }
        status => {
            let hint = if status == StatusCode::NOT_FOUND {
                "is the path complete? Berth's addresses are /mcp/ACCOUNT/INSTANCE: `berth list` shows them"
            } else {
                "an MCP server that wants a token says 401; see its log"
            };
            return Err(failed(
                "first request",
                format!("the server answers {status}{}", said(&first)),
                hint,
            ));
        }
    };
    let answered = post(&fetcher, url, token.as_ref()).await?;
    let text = String::from_utf8_lossy(&answered.body);
    if answered.status != StatusCode::OK || !text.contains("\"protocolVersion\"") {
        let why = format!("`initialize` is answered with {}{}", answered.status, said(&answered));
        return Err(failed(
            "first call",
            why,
            "the token was given, and this server does not take it: see its log",
        ));
    }
    report.done("first call", "`initialize` is answered")?;
    if output.json() { output.document(&report.done) } else { Ok(()) }
}

/// What an error answer says, in a few words.
fn said(fetched: &Fetched) -> String {
    let text: String =
        String::from_utf8_lossy(&fetched.body).chars().filter(|c| !c.is_control()).take(200).collect();
    if text.is_empty() { text } else { format!(" ({text})") }
}

async fn post(fetcher: &Fetcher, url: &str, token: Option<&Secret>) -> Result<Fetched, CliError> {
    let body = json!({
        "jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": { "name": "berth connect --check", "version": env!("CARGO_PKG_VERSION") },
        },
    });
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
    if let Some(token) = token {
        let value = HeaderValue::try_from(format!("Bearer {}", token.expose()));
        let mut value =
            value.map_err(|error| CliError::because("the token cannot stand in a header", error))?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    let sent = fetcher.send(Method::POST, url, headers, Bytes::from(body.to_string()), MAX).await;
    sent.map_err(|error| {
        failed("first request", error, "is the address right, and does somebody listen there?")
    })
}

fn random() -> Result<Secret, CliError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| CliError::because("no random bytes", error))?;
    Ok(Secret::new(URL_SAFE_NO_PAD.encode(bytes)))
}

async fn authorize(
    fetcher: &Fetcher,
    url: &str,
    challenge: Challenge,
    report: &mut Report,
) -> Result<Secret, CliError> {
    let listening = |error| CliError::because("nobody can come back to this machine", error);
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(listening)?;
    let port = listener.local_addr().map_err(listening)?.port();
    let begin = Begin {
        server: url.to_owned(),
        challenge,
        profile: Some(Profile {
            name: "berth connect --check".to_owned(),
            page: None,
            redirect_uri: format!("http://127.0.0.1:{port}/callback"),
            document: None,
        }),
        identities: Vec::new(),
        before: None,
        now: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs(),
        state: random()?,
        verifier: random()?,
    };
    let visit = client::discover(fetcher, begin).await.map_err(|refusal| {
        CliError::failed(refusal.to_string())
            .with_hint("a client stops here with an error of its own".to_owned())
    })?;
    let identity = &visit.pending.identity;
    report.done("discovery", format!("{} gives tokens for {}", identity.issuer, visit.pending.resource))?;
    report.done("registration", format!("known there as {}", identity.client_id))?;
    report.output.say("open this address in a browser and allow it:");
    report.output.say(&format!("  {}", visit.url));
    let query = tokio::time::timeout(PATIENCE, came_back(&listener)).await.map_err(|_| {
        failed(
            "authorization",
            "nobody came back within five minutes",
            "see what the page in the browser says",
        )
    })??;
    let grant = client::redeem(fetcher, &visit.pending, &query).await.map_err(|refusal| {
        CliError::failed(refusal.to_string()).with_hint("the page in the browser may say more".to_owned())
    })?;
    report.done("authorization", "a person allowed it")?;
    let life = grant.lifetime.map_or_else(String::new, |seconds| format!(", good for {seconds} s"));
    let more = if grant.refresh.is_some() { ", with a refresh token" } else { "" };
    report.done("token", format!("for {}{life}{more}", grant.granted.join(" ")))?;
    Ok(grant.access)
}

/// The query that a browser comes back with.
async fn came_back(listener: &TcpListener) -> Result<String, CliError> {
    let broken = |error| CliError::because("the browser's request cannot be read", error);
    loop {
        let (mut stream, _) = listener.accept().await.map_err(broken)?;
        let mut request = Vec::new();
        while !request.windows(4).any(|end| end == b"\r\n\r\n") && request.len() < MAX_REQUEST {
            let mut part = [0; 4096];
            let read = stream.read(&mut part).await.map_err(broken)?;
            if read == 0 {
                break;
            }
            request.extend_from_slice(&part[..read]);
        }
        let text = String::from_utf8_lossy(&request);
        let query = text.strip_prefix("GET /callback?").and_then(|rest| rest.split(' ').next());
        let (status, words) = if query.is_some() {
            ("200 OK", "You can close this page.")
        } else {
            ("404 Not Found", "Nothing is here.")
        };
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{words}",
            words.len()
        );
        // A browser that does not wait for the answer has given what is needed.
        drop(stream.write_all(answer.as_bytes()).await);
        if let Some(query) = query {
            return Ok(query.to_owned());
        }
    }
}
