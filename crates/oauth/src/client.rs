//! Berth as a client of a remote MCP server that wants tokens (MCP, Authorization): from the server's challenge to a token,
//! and from one token to the next.
//!
//! Sans-IO. [`discovery::Discovery`] says which request to make, takes its answer, and ends with an address that a person has to
//! open; [`exchange::Pending`] is what has to be kept until they come back; [`grant::Grant`] is what comes of it. Where nobody is to be asked it
//! ends with [`unattended::Found`]. Whoever
//! drives this sends the requests, and decides which hosts it dials at all.

pub mod discovery;
pub mod exchange;
pub mod grant;
pub mod identity;
mod scope;
pub mod unattended;
mod urls;

use std::fmt;

use domain::secret::Secret;

use crate::errors::ErrorBody;

/// A request to be made. Redirects are not to be followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// An absolute `http://` or `https://` URL that a stranger named.
    pub url: String,
    /// What is sent; decides the method.
    pub body: Body,
    /// The value of the header `Authorization`.
    pub authorization: Option<Secret>,
}

/// What is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Nothing: a GET.
    None,
    /// A POST of `application/json`.
    Json(String),
    /// A POST of `application/x-www-form-urlencoded`.
    Form(Secret),
}

/// What came back.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// The HTTP status.
    pub status: u16,
    /// The whole body.
    pub body: &'a [u8],
}

impl Answer<'_> {
    fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// What an error answer says, fit to be shown.
    fn error(&self) -> Option<ErrorBody> {
        let body: ErrorBody = serde_json::from_slice(self.body).ok()?;
        Some(ErrorBody {
            error: shown(&body.error),
            error_description: body.error_description.as_deref().map(shown),
        })
    }

    /// The status and what is said with it.
    fn words(&self) -> String {
        match self.error() {
            Some(ErrorBody { error, error_description: Some(more) }) => {
                format!("status {}, {error}: {more}", self.status)
            }
            Some(ErrorBody { error, .. }) => format!("status {}, {error}", self.status),
            None => format!("status {}", self.status),
        }
    }
}

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{step}: {why}")]
pub struct Refusal {
    /// What was being done.
    pub step: Step,
    /// What was wrong, and what to do about it.
    pub why: String,
}

/// The steps on the way to a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The server's own document (RFC 9728).
    Resource,
    /// The authorization server's document (RFC 8414).
    Metadata,
    /// Becoming known to the authorization server.
    Registration,
    /// A person's decision.
    Authorization,
    /// The code is changed for a token.
    Token,
    /// A token is changed for the next one.
    Refresh,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resource => "reading what the server says of its authorization",
            Self::Metadata => "reading the authorization server's document",
            Self::Registration => "registering with the authorization server",
            Self::Authorization => "asking for authorization",
            Self::Token => "getting a token",
            Self::Refresh => "refreshing the token",
        })
    }
}

impl Step {
    fn refuse(self, why: impl Into<String>) -> Refusal {
        Refusal { step: self, why: why.into() }
    }
}

/// A stranger's text as it may be shown: printable, and short.
fn shown(text: &str) -> String {
    /// In characters.
    const MAX: usize = 200;
    text.chars().filter(|c| !c.is_control()).take(MAX).collect()
}

#[cfg(test)]
mod tests;
