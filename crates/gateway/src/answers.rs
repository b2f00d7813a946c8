//! The answers that the gateway gives itself: a status, a JSON-RPC error that carries the request's own id, and a
//! sentence that says what to do.

use std::time::Duration;

use api::errors::ErrorBody;
use bytes::Bytes;
use domain::names::InstanceName;
use domain::shim::{MAX_MESSAGE, REFUSED_HEADER};
use hop::pool::PooledBody;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, Either, Full, Limited};
use serde_json::{Value, json};

use crate::{AuthError, Body, NotServed, Target, json_response};

/// A DTMA's own error is small; more than this is somebody else's.
const MAX_ERROR_BODY: usize = 64 << 10;

/// Why the gateway answers itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// A page of this origin may not call.
    Origin { given: String },
    /// Not POST, GET or DELETE.
    Method,
    /// The path has no account and instance.
    Path,
    /// No token, or one that is refused.
    Auth(AuthError),
    /// The token is not for calls of this instance.
    Scope { name: InstanceName },
    /// More calls than a limit allows; there is one again after `wait`.
    TooOften { whose: &'static str, wait: Duration },
    /// The message is over the limit.
    TooLarge { limit: usize },
    /// The body broke off.
    Unread,
    /// Nothing more of the body came for so long.
    TooSlow { silence: Duration },
    /// The instance cannot take the call.
    NotServed { name: String, why: NotServed },
    /// The shim ended, or was ended, before it answered.
    Lost { name: String },
    /// The connection to the DTMA of another host ended, or nobody there acknowledged anything any more.
    HostLost { name: String },
}

/// One answer, ready to be sent.
pub(crate) struct Answer {
    status: StatusCode,
    body: Vec<u8>,
    retry_after: Option<u32>,
    challenge: Option<HeaderValue>,
}

impl Refusal {
    /// The answer; `request` is the message that it answers, when it was read.
    pub(crate) fn answer(self, request: Option<&Bytes>) -> Answer {
        let (status, reason, retry_after, message) = self.describe();
        let data = retry_after.map_or_else(
            || json!({ "reason": reason }),
            |seconds| json!({ "reason": reason, "retryAfterSeconds": seconds }),
        );
        Answer { status, body: error_body(request, &message, &data), retry_after, challenge: None }
    }

    fn describe(&self) -> (StatusCode, &'static str, Option<u32>, String) {
        match self {
            Self::Origin { given } => (
                StatusCode::FORBIDDEN,
                "origin",
                None,
                format!(
                    "pages of `{given}` may not call: add the origin to the allowed ones of the control plane"
                ),
            ),
            Self::Method => (
                StatusCode::METHOD_NOT_ALLOWED,
                "method",
                None,
                "an MCP address takes POST, GET and DELETE".to_owned(),
            ),
            Self::Path => (
                StatusCode::NOT_FOUND,
                "unknown",
                None,
                "an MCP address has the form /mcp/ACCOUNT/INSTANCE: `berth list` shows them".to_owned(),
            ),
            Self::Auth(error) => {
                let unavailable = *error == AuthError::Unavailable;
                let status =
                    if unavailable { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::UNAUTHORIZED };
                (status, "unauthorized", unavailable.then_some(2), error.to_string())
            }
            Self::Scope { name } => (
                StatusCode::FORBIDDEN,
                "scope",
                None,
                format!(
                    "this API token is not for calls of `{name}`: make one with `berth token create NAME --scope mcp:call:{name}`"
                ),
            ),
            Self::TooOften { whose, wait } => {
                // Whole seconds, and enough of them.
                let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
                (
                    StatusCode::TOO_MANY_REQUESTS,
                    "too_often",
                    Some(seconds),
                    format!(
                        "{whose} may not be used more often than its limit allows: try again in {seconds} s"
                    ),
                )
            }
            Self::TooLarge { limit } => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "too_large",
                None,
                format!("a message has at most {} MiB ({limit} bytes)", MAX_MESSAGE >> 20),
            ),
            Self::Unread => (
                StatusCode::BAD_REQUEST,
                "unread",
                None,
                "the request's body broke off before its end".to_owned(),
            ),
            Self::TooSlow { silence } => (
                StatusCode::REQUEST_TIMEOUT,
                "too_slow",
                None,
                format!("nothing more of the request's body came for {} s", silence.as_secs()),
            ),
            Self::HostLost { name } => (
                StatusCode::BAD_GATEWAY,
                "lost",
                None,
                format!(
                    "the connection to the host of `{name}` was lost before it answered: whether the call took effect is not known"
                ),
            ),
            Self::NotServed { name, why } => describe_not_served(name, why),
            Self::Lost { name } => (
                StatusCode::BAD_GATEWAY,
                "lost",
                None,
                format!(
                    "`{name}` ended before it answered: whether the call took effect is not known; it is being started again"
                ),
            ),
        }
    }
}

fn describe_not_served(name: &str, why: &NotServed) -> (StatusCode, &'static str, Option<u32>, String) {
    let unavailable = StatusCode::SERVICE_UNAVAILABLE;
    match why {
        NotServed::Unknown => (
            StatusCode::NOT_FOUND,
            "unknown",
            None,
            format!("there is no instance `{name}` in this account: `berth list` shows those there are"),
        ),
        NotServed::Tool => (
            StatusCode::NOT_FOUND,
            "tool",
            None,
            format!(
                "`{name}` is a container tool and speaks no MCP: it is reached on the ports that `berth status {name}` shows"
            ),
        ),
        NotServed::Stopped => (
            unavailable,
            "stopped",
            Some(30),
            format!("`{name}` is stopped: start it with `berth start {name}`"),
        ),
        NotServed::Starting { step } => (
            unavailable,
            "starting",
            Some(2),
            format!("`{name}` is not ready yet ({step}): try again shortly"),
        ),
        NotServed::Failed { message } => (
            unavailable,
            "failed",
            Some(30),
            format!("`{name}` does not run: {message} (see `berth logs {name}`)"),
        ),
        NotServed::Unreachable { message } => (
            unavailable,
            "unreachable",
            Some(2),
            format!("`{name}` cannot be reached: {message}; it is retried by itself"),
        ),
    }
}

impl Answer {
    /// Its HTTP status.
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// The same with a value of `WWW-Authenticate`.
    pub(crate) fn with_challenge(self, challenge: Option<HeaderValue>) -> Self {
        Self { challenge, ..self }
    }

    pub(crate) fn into_response(self) -> Response<Body> {
        let mut response = json_response(self.status, self.body);
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(challenge) = self.challenge {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(header::ALLOW, HeaderValue::from_static("GET, POST, DELETE"));
        }
        response
    }
}

/// The refusal of a call whose answer was lost.
pub(crate) fn lost(target: &Target) -> Refusal {
    let name = target.name.as_str().to_owned();
    if target.bearer.is_some() { Refusal::HostLost { name } } else { Refusal::Lost { name } }
}

/// Whether a response may come from the path (a DTMA, or a shim that refuses our key) instead of from the server.
pub(crate) fn is_of_the_path(status: StatusCode, target: &Target) -> bool {
    status == StatusCode::UNAUTHORIZED || (target.bearer.is_some() && status.as_u16() >= 400)
}

/// Makes such a response one for the client: the path's own errors get the request's id, everything else passes.
pub(crate) async fn translate(
    response: Response<PooledBody<Full<Bytes>>>,
    target: &Target,
    request: &Bytes,
) -> Result<Response<Body>, Answer> {
    let name = target.name.as_str();
    let (mut parts, body) = response.into_parts();
    if parts.status == StatusCode::UNAUTHORIZED {
        // A 401 would send the client looking for another token, and its own is good: the key between us is not.
        tracing::warn!(instance = %target.instance, "the host refused the gateway's key");
        let why = NotServed::Unreachable { message: "its host refused this control plane's key".to_owned() };
        return Err(Refusal::NotServed { name: name.to_owned(), why }.answer(Some(request)));
    }
    let Ok(body) =
        Limited::new(body, MAX_ERROR_BODY).collect().await.map(http_body_util::Collected::to_bytes)
    else {
        return Err(lost(target).answer(Some(request)));
    };
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.remove(REFUSED_HEADER);
    let body = match serde_json::from_slice::<ErrorBody>(&body) {
        Ok(ErrorBody { error }) => {
            let hint = error.hint.map(|hint| format!(": {hint}")).unwrap_or_default();
            let message = format!("`{name}`: {}{hint}", error.message);
            Bytes::from(error_body(Some(request), &message, &json!({ "reason": error.code })))
        }
        Err(_) => body,
    };
    Ok(Response::from_parts(parts, Either::Left(Full::new(body))))
}

/// The id is spliced as it was written: `1` and `1.0` are one number and two texts.
fn error_body(request: Option<&Bytes>, message: &str, data: &Value) -> Vec<u8> {
    let envelope = request.and_then(|request| mcp::envelope::scan(request).ok());
    let id = envelope.as_ref().and_then(mcp::envelope::Envelope::raw_id);
    mcp::errors::body(id, mcp::errors::TRANSPORT, message, Some(&data.to_string()))
}
