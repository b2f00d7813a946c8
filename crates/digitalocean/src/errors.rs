//! What went wrong, by what the caller can do about it, and which request it was.

use std::fmt;
use std::time::Duration;

use reqwest::StatusCode;
use serde::Deserialize;

/// How much of an answer that is no error object is shown.
const EXCERPT: usize = 200;

/// The API's own words on a request that it did not carry out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The API's short word for it, such as `unprocessable_entity`; empty where there was none.
    pub id: String,
    /// The API's message to people.
    pub message: String,
    /// What the provider's support asks for.
    pub request_id: Option<String>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", self.message, self.status)?;
        if let Some(id) = &self.request_id {
            write!(f, ", request {id}")?;
        }
        f.write_str(")")
    }
}

/// Why a request to the API came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The token is not, or no longer, known: another one is needed.
    #[error("DigitalOcean refused the token: {0}")]
    TokenRefused(Refusal),
    /// The token is good, but not for this: it lacks a scope, or its owner a right.
    #[error("the DigitalOcean token lacks a scope for `{request}`: {refusal}")]
    MissingScope {
        /// Method and path of the request.
        request: String,
        /// The API's words.
        refusal: Refusal,
    },
    /// There is no such thing, or not any more.
    #[error("DigitalOcean has no such thing: {0}")]
    NotFound(Refusal),
    /// The account may not have more of it: something has to go, or the provider has to raise the limit.
    #[error("the DigitalOcean account's limit is reached: {0}")]
    LimitReached(Refusal),
    /// The thing is busy with something else: later.
    #[error("DigitalOcean is still busy with it: {0}")]
    Busy(Refusal),
    /// Something in the request is wrong, and will be the next time.
    #[error("DigitalOcean does not accept the {}: {refusal}", field.unwrap_or("request"))]
    Invalid {
        /// The field that the API's words name, as far as they do.
        field: Option<&'static str>,
        /// The API's words.
        refusal: Refusal,
    },
    /// Found before anything was sent.
    #[error("the {field} cannot be sent to DigitalOcean: {reason}")]
    Unsendable {
        /// The field.
        field: &'static str,
        /// What is wrong with it and what would be right.
        reason: String,
    },
    /// Too many requests, and to wait for the next would take longer than the caller has.
    #[error("DigitalOcean takes no more requests for {} s: {refusal}", wait.as_secs())]
    RateLimited {
        /// When it is worth trying again.
        wait: Duration,
        /// The API's words.
        refusal: Refusal,
    },
    /// The provider has a fault, and still had it after some tries.
    #[error("DigitalOcean has a fault: {0}")]
    ProviderBroken(Refusal),
    /// An answer that cannot be understood.
    #[error("DigitalOcean's answer to `{request}` cannot be understood: {reason}{}", shown(request_id.as_deref()))]
    Garbled {
        /// Method and path of the request.
        request: String,
        /// What is wrong with it.
        reason: String,
        /// What the provider's support asks for.
        request_id: Option<String>,
    },
    /// The provider was not reached, or its answer did not arrive.
    #[error("no answer from DigitalOcean to `{request}`: {reason}")]
    Network {
        /// Method and path of the request.
        request: String,
        /// What happened.
        reason: String,
        /// Whether anything was sent: if not, it was not carried out either.
        sent: bool,
    },
    /// A creation may have happened, and nobody knows: look for what carries the tag, or call again with the same tag.
    #[error("it is not known whether a droplet tagged `{tag}` was created: {source}")]
    Uncertain {
        /// The operation tag that it would carry.
        tag: String,
        /// What came instead of an answer.
        source: Box<Error>,
    },
}

fn shown(request_id: Option<&str>) -> String {
    request_id.map(|id| format!(" (request {id})")).unwrap_or_default()
}

impl Error {
    /// What the provider's support asks for, where there was an answer.
    pub fn request_id(&self) -> Option<&str> {
        match self {
            Self::TokenRefused(refusal)
            | Self::NotFound(refusal)
            | Self::LimitReached(refusal)
            | Self::Busy(refusal)
            | Self::ProviderBroken(refusal)
            | Self::MissingScope { refusal, .. }
            | Self::Invalid { refusal, .. }
            | Self::RateLimited { refusal, .. } => refusal.request_id.as_deref(),
            Self::Garbled { request_id, .. } => request_id.as_deref(),
            Self::Uncertain { source, .. } => source.request_id(),
            Self::Unsendable { .. } | Self::Network { .. } => None,
        }
    }

    /// Whether the same call may succeed later, with nothing changed by anybody.
    pub fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Busy(_)
                | Self::RateLimited { .. }
                | Self::ProviderBroken(_)
                | Self::Garbled { .. }
                | Self::Network { .. }
                | Self::Uncertain { .. }
        )
    }

    /// Whether the request may have been carried out although this error came.
    pub(crate) fn may_have_acted(&self) -> bool {
        matches!(self, Self::ProviderBroken(_) | Self::Garbled { .. } | Self::Network { sent: true, .. })
    }
}

/// The API's error object. Its parts are optional here: a proxy in between answers in its own way.
#[derive(Default, Deserialize)]
struct ErrorObject {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    request_id: Option<String>,
}

/// What an answer with an error status says. `request_id` is the header's.
pub(crate) fn refusal(status: StatusCode, request_id: Option<String>, body: &[u8]) -> Refusal {
    // A body that is no error object says what it says: its beginning is the message.
    let object: ErrorObject = serde_json::from_slice(body).unwrap_or_default();
    let message = object.message.filter(|message| !message.is_empty()).unwrap_or_else(|| {
        let text = String::from_utf8_lossy(body);
        let excerpt: String = text.trim().chars().filter(|c| !c.is_control()).take(EXCERPT).collect();
        if excerpt.is_empty() { status.to_string() } else { excerpt }
    });
    Refusal {
        status: status.as_u16(),
        id: object.id.unwrap_or_default(),
        message,
        request_id: request_id.or(object.request_id),
    }
}

/// Which error a refusal is. `wait` is how long a rate limit lasts.
pub(crate) fn classify(request: &str, refusal: Refusal, wait: Option<Duration>) -> Error {
    let says = refusal.message.to_lowercase();
    let limit = says.contains("limit") && (says.contains("exceed") || says.contains("reach"));
    match refusal.status {
        401 => Error::TokenRefused(refusal),
        402 => Error::LimitReached(refusal),
        403 if limit => Error::LimitReached(refusal),
        403 => Error::MissingScope { request: request.to_owned(), refusal },
        404 | 410 => Error::NotFound(refusal),
        429 => Error::RateLimited { wait: wait.unwrap_or_default(), refusal },
        409 | 423 => Error::Busy(refusal),
        422 if says.contains("pending event") => Error::Busy(refusal),
        400..=499 if limit => Error::LimitReached(refusal),
        400..=499 => Error::Invalid { field: field(&says), refusal },
        _ => Error::ProviderBroken(refusal),
    }
}

/// The field that a message, in small letters, names first: the API has no member for it.
fn field(says: &str) -> Option<&'static str> {
    const FIELDS: [(&str, &str); 13] = [
        ("user data", "user_data"),
        ("user_data", "user_data"),
        ("ssh key", "ssh_keys"),
        ("ssh_key", "ssh_keys"),
        ("public_key", "public_key"),
        ("public key", "public_key"),
        ("region", "region"),
        ("size", "size"),
        ("image", "image"),
        ("vpc", "vpc_uuid"),
        ("tag", "tags"),
        ("rule", "rules"),
        ("name", "name"),
    ];
    FIELDS
        .iter()
        .filter_map(|&(word, field)| says.find(word).map(|at| (at, field)))
        .min_by_key(|&(at, _)| at)
        .map(|(_, field)| field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: u16, body: &str, expected: &str) {
        let status = StatusCode::from_u16(status).unwrap();
        let refusal = refusal(status, Some("r-1".to_owned()), body.as_bytes());
        let error = classify("POST /v2/droplets", refusal, Some(Duration::from_secs(29)));
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.request_id(), Some("r-1"));
    }

    fn says(message: &str) -> String {
        serde_json::json!({"id": "some_word", "message": message}).to_string()
    }

    #[test]
    fn errors_say_what_can_be_done() {
        check(
            401,
            &says("Unable to authenticate you."),
            "DigitalOcean refused the token: Unable to authenticate you. (401, request r-1)",
        );
        check(
            403,
            &says("You are not authorized to perform this operation"),
            "the DigitalOcean token lacks a scope for `POST /v2/droplets`: You are not authorized to perform this operation \
             (403, request r-1)",
        );
        check(
            404,
            &says("The resource you requested could not be found."),
            "DigitalOcean has no such thing: The resource you requested could not be found. (404, request r-1)",
        );
        check(
            422,
            &says("creating this/these droplet(s) will exceed your droplet limit"),
            "the DigitalOcean account's limit is reached: creating this/these droplet(s) will exceed your droplet limit \
             (422, request r-1)",
        );
        check(
            422,
            &says("Droplet already has a pending event."),
            "DigitalOcean is still busy with it: Droplet already has a pending event. (422, request r-1)",
        );
        check(
            422,
            &says("Size is not available in this region."),
            "DigitalOcean does not accept the size: Size is not available in this region. (422, request r-1)",
        );
        check(
            422,
            &says("Something else"),
            "DigitalOcean does not accept the request: Something else (422, request r-1)",
        );
        check(
            429,
            &says("API rate limit exceeded."),
            "DigitalOcean takes no more requests for 29 s: API rate limit exceeded. (429, request r-1)",
        );
        check(503, "<h1>no\nserver</h1>", "DigitalOcean has a fault: <h1>noserver</h1> (503, request r-1)");
        check(500, "", "DigitalOcean has a fault: 500 Internal Server Error (500, request r-1)");
    }
}
