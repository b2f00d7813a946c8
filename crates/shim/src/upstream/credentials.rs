//! Tokens for a server that wants some. Where they come from is somebody else's affair; here is when they are asked for, and that
//! those who find the same one refused ask once.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::shim::{TokenReason, TokenWanted};
use http::header::{HeaderMap, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use tokio::time::Instant;

/// A token that ends so soon is renewed before it is shown: the call may take a while to be looked at.
const AHEAD: Duration = Duration::from_secs(30);
/// Whoever asks within this for what was just refused is told the same: calls that come together ask once.
const REFUSED_FOR: Duration = Duration::from_secs(1);

/// Where tokens come from.
pub trait Credentials: fmt::Debug + Send + Sync {
    /// A token for what is wanted, or why there is none, in words for people with a next step.
    fn token<'a>(
        &'a self,
        wanted: TokenWanted,
    ) -> Pin<Box<dyn Future<Output = Result<Token, String>> + Send + 'a>>;
}

/// A token, ready to be shown.
#[derive(Debug, Clone)]
pub struct Token {
    /// The value of the header `Authorization`.
    pub header: HeaderValue,
    /// Counts the tokens.
    pub version: u64,
    /// When it ends, as far as anybody knows.
    pub until: Option<Instant>,
}

/// The token that is shown now, for everybody who shows it.
#[derive(Debug)]
pub struct Purse {
    source: Arc<dyn Credentials>,
    token: Mutex<Option<Token>>,
    /// Held by whoever asks; what was refused last, and when.
    asking: tokio::sync::Mutex<Option<(Instant, TokenReason, String)>>,
}

impl Purse {
    /// An empty one.
    pub fn new(source: Arc<dyn Credentials>) -> Self {
        Self { source, token: Mutex::default(), asking: tokio::sync::Mutex::default() }
    }

    fn token(&self) -> MutexGuard<'_, Option<Token>> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What to show, if there is anything.
    pub(super) async fn ready(&self) -> Option<Token> {
        let token = self.token().clone()?;
        if token.until.is_none_or(|until| Instant::now() + AHEAD < until) {
            return Some(token);
        }
        let wanted = TokenWanted {
            reason: TokenReason::Expiring,
            challenge: Vec::new(),
            refused: Some(token.version),
            principal: None,
        };
        // One that cannot be renewed now may still be taken, and if not the server says so.
        Some(self.renew(wanted).await.unwrap_or(token))
    }

    /// Another one than the one that was refused.
    pub(super) async fn renew(&self, wanted: TokenWanted) -> Result<Token, String> {
        let mut refused = self.asking.lock().await;
        let newer =
            self.token().clone().filter(|token| wanted.refused.is_none_or(|refused| refused < token.version));
        if let Some(newer) = newer {
            return Ok(newer);
        }
        if let Some((at, reason, why)) = &*refused
            && *reason == wanted.reason
            && at.elapsed() < REFUSED_FOR
        {
            return Err(why.clone());
        }
        let reason = wanted.reason;
        match self.source.token(wanted).await {
            Ok(token) => {
                *refused = None;
                *self.token() = Some(token.clone());
                Ok(token)
            }
            Err(why) => {
                *refused = Some((Instant::now(), reason, why.clone()));
                Err(why)
            }
        }
    }
}

/// What a refusal asks for; `None` when no other token would help.
pub(super) fn wanted(status: StatusCode, headers: &HeaderMap, shown: Option<&Token>) -> Option<TokenWanted> {
    let challenge: Vec<String> = headers
        .get_all(WWW_AUTHENTICATE)
        .iter()
        .filter_map(|value| value.to_str().ok().map(str::to_owned))
        .collect();
    let reason = match status {
        StatusCode::UNAUTHORIZED => TokenReason::Refused,
        // RFC 6750 §3.1. Any other 403 is a no that no token changes.
        StatusCode::FORBIDDEN if challenge.iter().any(|value| value.contains("insufficient_scope")) => {
            TokenReason::Scope
        }
        _ => return None,
    };
    Some(TokenWanted { reason, challenge, refused: shown.map(|token| token.version), principal: None })
}
