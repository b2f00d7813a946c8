//! Why a server gave no answer, in words for people with a next step. No header, no query and no body is repeated: they
//! may hold credentials.

use domain::shim::MAX_MESSAGE;
use http::StatusCode;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// No connection; nothing was sent.
    Unreachable(Box<str>),
    /// The connection ended before an answer began.
    Lost(Box<str>),
    /// The answer ended, or its stream did, before the message came.
    CutOff,
    /// There was no answer in the time that is given to what nobody waits for.
    Slow,
    /// HTTP said no, without a message.
    Status {
        status: StatusCode,
        /// `Retry-After`, in seconds.
        after: Option<u64>,
    },
    /// The server wants a token, and there is none; in words for people with a next step.
    Unauthorized(Box<str>),
    /// The server is elsewhere.
    Redirect { status: StatusCode, to: Option<Box<str>> },
    /// A web page.
    Html,
    /// Success, but no message.
    NotMcp(Box<str>),
    /// The request was taken without an answer, or with another's.
    Unanswered,
    /// A message above the limit.
    TooLong,
    /// The server forgot the session and began no other.
    Session(Box<str>),
    /// HTTP+SSE names an address that is not the server's own, or is none.
    Endpoint,
    /// HTTP+SSE began with something else than an address, or did not begin.
    NoEndpoint,
    /// HTTP+SSE has no stream at the moment.
    NoStream,
}

impl Fault {
    /// Whether the same may work a little later.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Lost(_) | Self::CutOff | Self::Slow | Self::NoStream => true,
            Self::Status { status, .. } => {
                matches!(status.as_u16(), 408 | 425 | 429)
                    || (status.is_server_error() && status.as_u16() != 501)
            }
            _ => false,
        }
    }

    /// For people; `host` is whom it is about.
    pub(super) fn words(&self, host: &str) -> String {
        match self {
            Self::Unreachable(why) => {
                format!("{host} cannot be reached: {why}; check the server's URL, and that it runs")
            }
            Self::Lost(why) => {
                format!(
                    "the connection to {host} ended before it answered ({why}); what was asked for may have been done"
                )
            }
            Self::CutOff => {
                format!("{host} ended its response before the answer; what was asked for may have been done")
            }
            Self::Slow => format!("{host} did not answer in time; try again"),
            Self::Status { status, after } => status_words(host, *status, *after),
            Self::Unauthorized(why) => format!("{host} wants a token, and there is none: {why}"),
            Self::Redirect { status, to } => {
                let to = to.as_deref().unwrap_or("elsewhere");
                format!(
                    "the server at {host} redirects to {to} ({}), which is not followed, because the credentials would go \
                     along; set the server's URL to the address where it is",
                    status.as_u16()
                )
            }
            Self::Html => format!(
                "{host} answered with a web page, not with MCP; check the path of the server's URL, often /mcp, or /sse"
            ),
            Self::NotMcp(why) => format!("{host} answered with something that is no MCP message: {why}"),
            Self::Unanswered => format!("{host} took the request and gave no answer to it"),
            Self::TooLong => {
                format!("{host} answered with a message of more than {MAX_MESSAGE} bytes, which is the limit")
            }
            Self::Session(why) => {
                format!(
                    "{host} had forgotten the session, and a new one could not be begun: {why}; try again"
                )
            }
            Self::Endpoint => format!(
                "the server at {host} names an address of another origin for messages, which is refused: the credentials \
                 are for {host} alone"
            ),
            Self::NoEndpoint => format!(
                "the server at {host} did not begin with the address for messages; does it speak HTTP+SSE of 2024-11-05, \
                 or Streamable HTTP?"
            ),
            Self::NoStream => {
                format!("the stream from {host} is broken and is being opened again; try again")
            }
        }
    }
}

fn status_words(host: &str, status: StatusCode, after: Option<u64>) -> String {
    let code = status.as_u16();
    match code {
        401 => format!(
            "the server at {host} refused the credentials (401): set or renew the header that it wants, mostly Authorization"
        ),
        403 => format!(
            "the server at {host} refused the credentials (403): they are not enough for this; use others, or ask its \
             owner for the right"
        ),
        404 | 405 => {
            let what = if code == 404 { "has no MCP server" } else { "does not take messages" };
            format!(
                "{host} {what} at this path ({code}); check the path of the server's URL, and whether it speaks HTTP+SSE \
                 of 2024-11-05"
            )
        }
        429 => {
            let after = after.map(|after| format!(" in {after} s")).unwrap_or_default();
            format!("{host} was asked too often (429); try again{after}")
        }
        500.. => {
            format!("the server at {host} failed ({code}); try again, and if it stays so, ask who runs it")
        }
        _ => format!("the server at {host} refused the message ({code}) and did not say why"),
    }
}
