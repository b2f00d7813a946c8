//! The public MCP address, `/mcp/{account}/{instance}`: who may call, where it runs, and the bytes in between.
//!
//! It authenticates the caller, finds the instance through [`Directory`], and forwards one HTTP request to the one shim
//! that serves it. It holds no MCP session and reads no message, but for the id of one that it must answer itself and for what the audit
//! says of it; it knows no SQL and no machine.

mod answers;
mod between;
mod body;
mod calls;
mod challenges;
mod directory;
mod limits;
mod origin;
mod record;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use domain::names::InstanceName;
use domain::shim::{HEADER_PREFIX, KEY_HEADER, MAX_MESSAGE, PRINCIPAL_HEADER, RULE_HEADER};
use hop::pool::{HopError, Pool, PooledBody};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{Either, Full};

use crate::answers::{Answer, Refusal};
pub use crate::calls::{Calls, Extent, Grant};
pub use crate::challenges::{Bases, RESOURCE_METADATA, challenge, parse_address};
pub use crate::directory::{Audience, AuthError, Directory, Limits, NotServed, Principal, Target};
pub use crate::limits::{Bucket, Buckets};
use crate::origin::Origins;
use crate::record::Pending;
pub use crate::record::{Arguments, Line, Passing, Records};

/// What a response of the gateway carries: an answer of its own, or the shim's bytes as they come.
pub type Body = Either<Full<Bytes>, Passing>;

/// The first part of every MCP address.
pub const PREFIX: &str = "/mcp/";

/// What an instance's address for HTTP+SSE of 2024-11-05 ends in; the inner address ends in the same.
const SSE_SUFFIX: &str = "/sse";

const KEY: HeaderName = HeaderName::from_static(KEY_HEADER);
const RULE: HeaderName = HeaderName::from_static(RULE_HEADER);
const PRINCIPAL: HeaderName = HeaderName::from_static(PRINCIPAL_HEADER);
const INNER_HOST: HeaderValue = HeaderValue::from_static("berth");

/// What the gateway must be told.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// The public address, without a slash at its end.
    pub public: String,
    /// Origins (`scheme://host[:port]`) whose pages are Berth's own: the public address and the loopback names of the
    /// listen address. A page of another origin gets a 403.
    pub own_origins: Vec<String>,
    /// Further origins whose pages may call (CORS).
    pub allowed_origins: Vec<String>,
    /// Where each request leaves its line; absent: none does.
    pub records: Option<Arc<Records>>,
}

/// Which of the two addresses of an instance is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transport {
    /// Streamable HTTP, of all revisions since 2025-03-26.
    Streamable,
    /// HTTP+SSE, whose query names the session.
    Sse,
}

/// The gateway. One per process; cheap to share.
pub struct Gateway {
    directory: Arc<dyn Directory>,
    pool: Pool<Full<Bytes>>,
    origins: Origins,
    bases: Bases,
    records: Option<Arc<Records>>,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("origins", &self.origins).finish_non_exhaustive()
    }
}

impl Gateway {
    /// A gateway over `directory`, which reaches hosts over the connections of `pool`.
    pub fn new(directory: Arc<dyn Directory>, pool: Pool<Full<Bytes>>, config: &Config) -> Self {
        let origins = Origins::new(config.own_origins.iter().chain(&config.allowed_origins));
        let bases = Bases::new(&config.public, config.own_origins.iter());
        Self { directory, pool, origins, bases, records: config.records.clone() }
    }

    /// The origin of the page that calls, when it is one that may: for what is served beside the MCP addresses to the same pages.
    pub fn origin_of<'a>(&self, headers: &'a HeaderMap) -> Option<&'a HeaderValue> {
        self.origins.check(headers).ok().flatten()
    }

    /// Answers one request whose path begins with [`PREFIX`]. Never fails: every failure is an answer.
    ///
    /// The caller that drops this future, or the response's body, ends the call upstream.
    pub async fn call<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes>,
    {
        let origin = match self.origins.check(request.headers()) {
            Ok(origin) => origin.cloned(),
            Err(given) => return Refusal::Origin { given }.answer(None).into_response(),
        };
        let mut response = match &origin {
            Some(_) if request.method() == Method::OPTIONS => origin::preflight(request.headers()),
            _ => self.serve(request).await.unwrap_or_else(Answer::into_response),
        };
        if let Some(origin) = origin {
            origin::expose(response.headers_mut(), origin);
        }
        response
    }

    async fn serve<B>(&self, request: Request<B>) -> Result<Response<Body>, Answer>
    where
        B: http_body::Body<Data = Bytes>,
    {
        let began = Instant::now();
        let (parts, body) = request.into_parts();
        if !matches!(parts.method, Method::POST | Method::GET | Method::DELETE) {
            return Err(Refusal::Method.answer(None));
        }
        let principal = match self.authenticate(&parts.headers).await {
            Ok(principal) => principal,
            Err(error) => {
                hop::passed::over(&parts.headers, body).await;
                return Err(self.challenged(Refusal::Auth(error), &parts, None));
            }
        };
        let body = body::collect(body, &parts.headers, MAX_MESSAGE).await.map_err(|e| e.answer(None))?;
        self.forward(&principal, parts, body, began).await
    }

    /// Answers one message of somebody who is known already, as [`Gateway::call`] answers one with their token: the same rules, scopes, limits
    /// and line of the audit. `path` is an MCP address, `headers` are those of Streamable HTTP.
    ///
    /// For what this process itself calls in somebody's name; nothing that comes from outside leads here.
    pub async fn call_as(
        &self,
        principal: &Arc<Principal>,
        path: Uri,
        headers: HeaderMap,
        message: Bytes,
    ) -> Response<Body> {
        let began = Instant::now();
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = path;
        *request.headers_mut() = headers;
        let (parts, ()) = request.into_parts();
        if MAX_MESSAGE < message.len() {
            return Refusal::TooLarge { limit: MAX_MESSAGE }.answer(None).into_response();
        }
        self.forward(principal, parts, message, began).await.unwrap_or_else(Answer::into_response)
    }

    /// Everything behind the question who calls.
    async fn forward(
        &self,
        principal: &Arc<Principal>,
        mut parts: http::request::Parts,
        body: Bytes,
        began: Instant,
    ) -> Result<Response<Body>, Answer> {
        let mut pending = match &self.records {
            Some(records) if parts.method == Method::POST => Pending::of(records, principal, &body, began),
            _ => None,
        };
        let found = self.find(parts.uri.path(), principal).and_then(|found| {
            within_limits(&principal.limits, &found.0)?;
            Ok(found)
        });
        let (target, transport, extent) = match found {
            Ok(found) => found,
            Err(refusal) => {
                let answer = self.challenged(refusal, &parts, Some(&body));
                if let Some(mut pending) = pending {
                    pending.refused_at(instance_of(parts.uri.path()), answer.status());
                }
                return Err(answer);
            }
        };
        if let Some(pending) = &mut pending {
            pending.to(&target);
        }

        hop::forward::strip_inbound(&mut parts.headers, HEADER_PREFIX);
        parts.headers.remove(header::EXPECT);
        parts.headers.insert(PRINCIPAL, principal.header.clone());
        if let Extent::Ruled { header, .. } = extent {
            parts.headers.insert(RULE, header.clone());
        }
        parts.headers.insert(header::HOST, INNER_HOST);
        let (sent, target) = if target.is_changing {
            self.send_patiently(principal, &parts, target, transport, &body).await
        } else {
            let inner = inner(parts.method, parts.headers, parts.uri.query(), &target, transport, &body);
            (self.pool.send(&target.address, inner).await, target)
        };
        let answer = match sent {
            Ok(mut response) => {
                hop::forward::strip(response.headers_mut());
                if answers::is_of_the_path(response.status(), &target) {
                    answers::translate(response, &target, &body).await
                } else {
                    return Ok(Passing::new(response, pending).map(Either::Right));
                }
            }
            Err(error @ HopError::Connect { .. }) => {
                tracing::debug!(instance = %target.instance, %error, "the shim cannot be reached");
                let who = if target.bearer.is_some() { "host" } else { "process" };
                let served =
                    NotServed::Unreachable { message: format!("its {who} does not answer at the moment") };
                Err(Refusal::NotServed { name: target.name.as_str().to_owned(), why: served }
                    .answer(Some(&body)))
            }
            Err(error) => {
                tracing::debug!(instance = %target.instance, %error, "the shim ended before it answered");
                Err(answers::lost(&target).answer(Some(&body)))
            }
        };
        if let Some(mut pending) = pending {
            pending.answered(answer.as_ref().map_or_else(Answer::status, Response::status));
        }
        answer
    }

    /// Sends a request whose process is being replaced, again and again until one takes it, for a while. Nothing that was taken is sent
    /// twice. Gives the last answer, and where it came from.
    async fn send_patiently(
        &self,
        principal: &Principal,
        parts: &http::request::Parts,
        mut target: Arc<Target>,
        transport: Transport,
        body: &Bytes,
    ) -> (Result<Response<PooledBody<Full<Bytes>>>, HopError>, Arc<Target>) {
        let mut waits = between::Waits::new(Instant::now());
        loop {
            let (method, headers) = (parts.method.clone(), parts.headers.clone());
            let inner = inner(method, headers, parts.uri.query(), &target, transport, body);
            let sent = self.pool.send(&target.address, inner).await;
            if !between::was_taken(&sent)
                && let Some(pause) = waits.next(Instant::now())
            {
                tokio::time::sleep(pause).await;
                // It may be stopped by now, and then the answer is what was said last.
                if let Ok((now, ..)) = self.find(parts.uri.path(), principal) {
                    target = now;
                    continue;
                }
            }
            return (sent, target);
        }
    }

    /// The answer to a refusal, with what a client must know to ask for another token.
    fn challenged(&self, refusal: Refusal, parts: &http::request::Parts, request: Option<&Bytes>) -> Answer {
        let (base, path) = (self.bases.of(&parts.headers), parts.uri.path());
        let challenge = match &refusal {
            Refusal::Auth(error) if *error != AuthError::Unavailable => {
                Some(challenges::of_address(*error, base, path))
            }
            Refusal::Scope { name } => Some(challenges::step_up(name, base, path)),
            _ => None,
        };
        refusal.answer(request).with_challenge(challenge)
    }

    async fn authenticate(&self, headers: &HeaderMap) -> Result<Arc<Principal>, AuthError> {
        let bearer = bearer(headers).ok_or(AuthError::Missing)?;
        match self.directory.authenticate_known(bearer) {
            Some(known) => known,
            None => self.directory.authenticate(bearer).await,
        }
    }

    fn find<'a>(
        &self,
        path: &str,
        principal: &'a Principal,
    ) -> Result<(Arc<Target>, Transport, &'a Extent), Refusal> {
        let rest = path.strip_prefix(PREFIX).unwrap_or_default();
        let (account, instance) = rest.split_once('/').ok_or(Refusal::Path)?;
        let (instance, transport) = match instance.strip_suffix(SSE_SUFFIX) {
            Some(instance) => (instance, Transport::Sse),
            None => (instance, Transport::Streamable),
        };
        let not_served = |why| Refusal::NotServed { name: instance.to_owned(), why };
        if !principal.audience.is(account, instance) {
            return Err(Refusal::Auth(AuthError::Audience));
        }
        if account != principal.account.as_str() {
            return Err(not_served(NotServed::Unknown));
        }
        // Said of those that are not there too, so that a token tells nothing of what it is not for.
        let Some(extent) = principal.calls.extent(instance) else {
            let name = instance.parse::<InstanceName>().map_err(|_| not_served(NotServed::Unknown))?;
            return Err(Refusal::Scope { name });
        };
        let target = self.directory.find(account, instance, principal).map_err(not_served)?;
        Ok((target, transport, extent))
    }
}

/// The request on the inner hop.
fn inner(
    method: Method,
    mut headers: HeaderMap,
    query: Option<&str>,
    target: &Target,
    transport: Transport,
    body: &Bytes,
) -> Request<Full<Bytes>> {
    headers.insert(KEY, target.key.clone());
    if let Some(bearer) = &target.bearer {
        headers.insert(header::AUTHORIZATION, bearer.clone());
    }
    let mut inner = Request::new(Full::new(body.clone()));
    *inner.method_mut() = method;
    *inner.uri_mut() = transport.uri(&target.uri, query);
    *inner.headers_mut() = headers;
    inner
}

/// The instance's part of a path, whatever stands there.
fn instance_of(path: &str) -> &str {
    let rest = path.strip_prefix(PREFIX).and_then(|rest| rest.split_once('/')).map_or("", |(_, rest)| rest);
    rest.strip_suffix(SSE_SUFFIX).unwrap_or(rest)
}

/// Takes one of each limit that there is; the narrower one first, so that who may not call takes nothing of what others share.
fn within_limits(limits: &Limits, target: &Target) -> Result<(), Refusal> {
    let of_whom = [
        ("this API token", &limits.token),
        ("this account", &limits.account),
        ("this instance", &target.limit),
    ];
    if of_whom.iter().all(|(_, bucket)| bucket.is_none()) {
        return Ok(());
    }
    let now = limits::now();
    for (whose, bucket) in of_whom {
        if let Some(bucket) = bucket {
            bucket.take(now).map_err(|wait| Refusal::TooOften { whose, wait })?;
        }
    }
    Ok(())
}

impl Transport {
    /// The address on the inner hop.
    fn uri(self, target: &Uri, query: Option<&str>) -> Uri {
        match self {
            Self::Streamable => target.clone(),
            Self::Sse => {
                let query = query.map(|query| format!("?{query}")).unwrap_or_default();
                // Both parts have been addresses already, and so is what they make together.
                format!("{}{SSE_SUFFIX}{query}", target.path()).parse().unwrap_or_else(|_| target.clone())
            }
        }
    }
}

/// The token of `Authorization: Bearer …`; never of the query (MCP, Authorization: "access tokens MUST NOT be included
/// in the URI query string"). The scheme is case-insensitive (RFC 9110 §11.1).
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// A JSON answer of the gateway's own.
fn json_response(status: StatusCode, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::new(Bytes::from(body))));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
