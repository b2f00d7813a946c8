//! Tokens for a server that runs elsewhere, which the shim asks its DTMA for: the question stands in the status, and the answer comes
//! over the socket. So a shim needs no way to anybody but its server.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::shim::{TokenAnswer, TokenAsk, TokenOutcome, TokenReason, TokenWanted};
use http::HeaderValue;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::upstream::{Credentials, Token};

/// An answer is due within this: the control plane may have to ask an authorization server first.
const PATIENCE: Duration = Duration::from_secs(40);

/// The questions that wait.
#[derive(Debug)]
pub(crate) struct Tokens {
    state: Mutex<State>,
    /// Told of each question, so that the status says it at once.
    news: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    last: u64,
    waiting: BTreeMap<u64, (TokenWanted, oneshot::Sender<TokenOutcome>)>,
}

impl Tokens {
    pub(crate) fn new(news: Arc<Notify>) -> Self {
        Self { state: Mutex::default(), news }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is asked for.
    pub(crate) fn asks(&self) -> Vec<TokenAsk> {
        let state = self.state();
        let ask =
            |(&number, (wanted, _)): (&u64, &(TokenWanted, _))| TokenAsk { number, wanted: wanted.clone() };
        state.waiting.iter().map(ask).collect()
    }

    /// Takes an answer. One that nobody waits for any more is dropped.
    pub(crate) fn answer(&self, answer: TokenAnswer) {
        let waiting = self.state().waiting.remove(&answer.number);
        if let Some((_, waiting)) = waiting {
            // It may have been given up this moment.
            let _ = waiting.send(answer.outcome);
        }
    }

    /// What a caller brings.
    pub(crate) async fn values(&self, principal: String) -> TokenOutcome {
        let wanted = TokenWanted {
            reason: TokenReason::Values,
            challenge: Vec::new(),
            refused: None,
            principal: Some(principal),
        };
        self.outcome(wanted).await
    }

    async fn outcome(&self, wanted: TokenWanted) -> TokenOutcome {
        let (tell, told) = oneshot::channel();
        let number = {
            let mut state = self.state();
            state.last += 1;
            let number = state.last;
            state.waiting.insert(number, (wanted, tell));
            number
        };
        let _asked = Asked { tokens: self, number };
        self.news.notify_waiters();
        match tokio::time::timeout(PATIENCE, told).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) | Err(_) => TokenOutcome::None {
                why: "the control plane did not answer in time; try again, and see that this host reaches it"
                    .to_owned(),
            },
        }
    }

    async fn ask(&self, wanted: TokenWanted) -> Result<Token, String> {
        match self.outcome(wanted).await {
            TokenOutcome::Token { token, version, expires_in } => {
                let mut header = HeaderValue::try_from(format!("Bearer {}", token.expose()))
                    .map_err(|_| "the token that was given cannot be sent".to_owned())?;
                header.set_sensitive(true);
                // What never ends, or so far away that nobody can say when, is not waited for.
                let until = expires_in.and_then(|left| Instant::now().checked_add(Duration::from_secs(left)));
                Ok(Token { header, version, until })
            }
            TokenOutcome::None { why } | TokenOutcome::Unset { why } => Err(why),
            TokenOutcome::Values { .. } => Err("the control plane gave values for a token".to_owned()),
        }
    }
}

impl Credentials for Tokens {
    fn token<'a>(
        &'a self,
        wanted: TokenWanted,
    ) -> Pin<Box<dyn Future<Output = Result<Token, String>> + Send + 'a>> {
        Box::pin(self.ask(wanted))
    }
}

/// The tokens of one caller, where each has their own.
#[derive(Debug)]
pub(crate) struct Theirs {
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) principal: String,
}

impl Credentials for Theirs {
    fn token<'a>(
        &'a self,
        wanted: TokenWanted,
    ) -> Pin<Box<dyn Future<Output = Result<Token, String>> + Send + 'a>> {
        let wanted = TokenWanted { principal: Some(self.principal.clone()), ..wanted };
        Box::pin(self.tokens.ask(wanted))
    }
}

/// A question, which is taken back when nobody waits for its answer any more.
struct Asked<'a> {
    tokens: &'a Tokens,
    number: u64,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let was_open = self.tokens.state().waiting.remove(&self.number).is_some();
        if was_open {
            self.tokens.news.notify_waiters();
        }
    }
}
