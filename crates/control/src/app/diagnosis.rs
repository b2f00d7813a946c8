//! Why does a client not connect? Goes the way of a client to an instance, as far as one goes without a person, and looks at what is known
//! of those that came.

use std::time::SystemTime;

use api::audit::{CallLine, CallOutcome, CallQuery};
use api::oauth::Grant;
use api::users::Role;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use domain::secret::Secret;
use domain::status::InstanceStatus;
use fetch::{Fetched, Fetcher, Reach, client};
use http::header::{ACCEPT, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use oauth::challenge::Challenge;
use oauth::client::discovery::Begin;
use oauth::client::identity::Profile;
use serde_json::json;

use crate::app::oauth::grants;
use crate::app::{App, Outcome, Problem, calls, instances};
use crate::auth::Caller;
use crate::secrets::random;

/// The most that is read of an answer, in bytes.
const MAX: usize = 256 << 10;
/// Who asks, as it is registered.
const NAME: &str = "Berth's connection check";
/// So many refused calls are shown.
const REFUSED: u32 = 10;

/// One step of the way.
#[derive(Debug)]
pub(crate) struct Step {
    /// What is tried.
    pub(crate) name: &'static str,
    /// What was found; or why it ends here, and what to do.
    pub(crate) found: Result<String, (String, String)>,
}

/// What was found out.
#[derive(Debug)]
pub(crate) struct Diagnosis {
    /// The address that clients are given.
    pub(crate) url: String,
    /// The way, up to the step that failed.
    pub(crate) steps: Vec<Step>,
    /// Clients that were allowed in and never asked for a second token.
    pub(crate) silent: Vec<Grant>,
    /// The last calls that were refused, for an admin.
    pub(crate) refused: Vec<CallLine>,
}

/// Looks at an instance of the caller's account.
///
/// # Errors
/// 404.
pub(crate) async fn of(app: &App, caller: &Caller, name: &str) -> Outcome<Diagnosis> {
    let instance = instances::show(app, caller, name).await?;
    let mut steps = vec![Step {
        name: "The instance",
        found: match instance.status {
            InstanceStatus::Running => Ok("it runs, and answers MCP".to_owned()),
            InstanceStatus::Asleep => Ok("it sleeps, and the next call wakes it".to_owned()),
            status => {
                let why = instance.message.clone().unwrap_or_else(|| format!("its status is {status}"));
                Err((why, "until it runs, calls of it are answered with why it does not".to_owned()))
            }
        },
    }];
    if instance.container.is_some() {
        steps.push(Step {
            name: "Its address",
            found: Err((
                "it is a container tool and speaks no MCP".to_owned(),
                "clients connect to MCP servers".to_owned(),
            )),
        });
    } else {
        way(&instance.url, &mut steps).await?;
    }
    let mut silent = grants::list(app, caller).await?;
    silent.retain(|grant| {
        grant.revoked_at.is_none()
            && grant.instance.as_ref() == Some(&instance.name)
            && grant.last_used_at.is_none()
    });
    let refused = if Role::Admin <= caller.role {
        let query = CallQuery {
            instance: Some(name.to_owned()),
            result: Some(CallOutcome::Refused),
            limit: Some(REFUSED),
            ..CallQuery::default()
        };
        calls::list(app, caller, &query).await?
    } else {
        Vec::new()
    };
    Ok(Diagnosis { url: instance.url, steps, silent, refused })
}

/// The way of a client: the first request, the documents, the registration.
async fn way(url: &str, steps: &mut Vec<Step>) -> Outcome<()> {
    // The address is our own, wherever that is.
    let fetcher = Fetcher::new(Reach::Everywhere).map_err(|error| Problem::Failed(Box::new(error)))?;
    let challenge = match first(&fetcher, url).await {
        Ok((words, challenge)) => {
            steps.push(Step { name: "The first request, without a token", found: Ok(words) });
            challenge
        }
        Err(failed) => {
            steps.push(Step { name: "The first request, without a token", found: Err(failed) });
            return Ok(());
        }
    };
    let begin = Begin {
        server: url.to_owned(),
        challenge,
        profile: Some(Profile {
            name: NAME.to_owned(),
            page: None,
            redirect_uri: "http://127.0.0.1/callback".to_owned(),
            document: None,
        }),
        identities: Vec::new(),
        before: None,
        now: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs(),
        state: Secret::new(URL_SAFE_NO_PAD.encode(random::<32>()?)),
        verifier: Secret::new(URL_SAFE_NO_PAD.encode(random::<32>()?)),
    };
    match client::discover(&fetcher, begin).await {
        Ok(visit) => {
            let identity = &visit.pending.identity;
            steps.push(Step {
                name: "Finding who gives tokens",
                found: Ok(format!("{} gives tokens for {}", identity.issuer, visit.pending.resource)),
            });
            steps.push(Step {
                name: "Registering a client",
                found: Ok("it is taken; a person would be asked next".to_owned()),
            });
        }
        Err(refusal) => steps.push(Step {
            name: "Finding who gives tokens",
            found: Err((refusal.to_string(), "clients stop here with an error of their own".to_owned())),
        }),
    }
    Ok(())
}

async fn first(fetcher: &Fetcher, url: &str) -> Result<(String, Challenge), (String, String)> {
    let body = json!({
        "jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": { "name": NAME, "version": env!("CARGO_PKG_VERSION") },
        },
    });
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
    let sent = fetcher.send(Method::POST, url, headers, Bytes::from(body.to_string()), MAX).await;
    let answer: Fetched = sent.map_err(|error| {
        let hint = "`--public-url` says where Berth is reached: is that right, does its name resolve, and does a proxy in front pass it on?";
        (format!("Berth does not reach its own address: {error}"), hint.to_owned())
    })?;
    if answer.status != StatusCode::UNAUTHORIZED {
        let hint =
            "something in front of Berth answers in its place: a proxy, or another program at that address";
        return Err((format!("it is answered with {}, and Berth says 401", answer.status), hint.to_owned()));
    }
    let values = answer.headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    let challenge = Challenge::parse(values).unwrap_or_default();
    if let Some(named) = &challenge.resource_metadata {
        return Ok((format!("401, which names {named}"), challenge));
    }
    let hint = "a proxy in front may take the header `WWW-Authenticate` away: let it through";
    Err(("401, without the document that clients read next".to_owned(), hint.to_owned()))
}
