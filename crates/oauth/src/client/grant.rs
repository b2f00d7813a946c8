//! A token and what it takes to get the next one.

use domain::secret::{self, Secret};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::identity::{ClassifyWords as _, Identity};
use super::{Answer, Refusal, Request, Step};

/// What an authorization server gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// What is shown to the server.
    #[serde(serialize_with = "secret::expose")]
    pub access: Secret,
    /// What the next one is got with.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "secret::expose_some")]
    pub refresh: Option<Secret>,
    /// How long it is good, in seconds from when it came.
    pub lifetime: Option<u64>,
    /// Where the next one is got.
    pub token_endpoint: String,
    /// Who Berth is there.
    pub identity: Identity,
    /// What it is for.
    pub resource: String,
    /// What was asked for.
    pub scopes: Vec<String>,
    /// What was given.
    pub granted: Vec<String>,
}

/// Why there is no next token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotRefreshed {
    /// A person has to authorize again.
    Over(Refusal),
    /// It may work later.
    Later(Refusal),
}

impl NotRefreshed {
    /// In words.
    pub fn refusal(&self) -> &Refusal {
        match self {
            Self::Over(refusal) | Self::Later(refusal) => refusal,
        }
    }
}

impl Grant {
    /// The request for the next token; `None` when it takes a person.
    pub fn refresh(&self) -> Option<Request> {
        let refresh = self.refresh.as_ref()?;
        let form = vec![
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh.expose()),
            ("resource", self.resource.as_str()),
        ];
        Some(self.identity.sign(&self.token_endpoint, form))
    }

    /// Takes the answer to that request. A server that gives no other refresh token means the one that it gave
    /// (RFC 6749 §6).
    ///
    /// # Errors
    /// Why there is no next token, and whether there may be one later.
    pub fn refreshed(&self, answer: Result<Answer<'_>, &str>) -> Result<Self, NotRefreshed> {
        let refuse = |why: String| Step::Refresh.refuse(why);
        let issuer = &self.identity.issuer;
        let answer = answer.map_err(|why| NotRefreshed::Later(refuse(why.to_owned())))?;
        if !answer.is_success() {
            let refusal = refuse(format!("{issuer} refused: {}", answer.words()));
            // A code of OAuth is an answer; anything else may be a proxy's, or a fault that passes.
            let is_over = answer.status < 500
                && answer.status != 429
                && answer.error().is_some_and(|body| body.error != "temporarily_unavailable");
            return Err(if is_over { NotRefreshed::Over(refusal) } else { NotRefreshed::Later(refusal) });
        }
        let token = Token::parse(answer.body).map_err(|why| {
            NotRefreshed::Later(refuse(format!("the answer of {issuer} holds no token: {why}")))
        })?;
        Ok(Self {
            granted: token.scopes().unwrap_or_else(|| self.granted.clone()),
            access: token.access,
            refresh: token.refresh.or_else(|| self.refresh.clone()),
            lifetime: token.expires_in,
            ..self.clone()
        })
    }
}

/// The answer of a token endpoint (RFC 6749 §5.1).
#[derive(Debug)]
pub(super) struct Token {
    pub(super) access: Secret,
    pub(super) refresh: Option<Secret>,
    pub(super) expires_in: Option<u64>,
    scope: Option<String>,
}

impl Token {
    pub(super) fn parse(body: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Written {
            access_token: Secret,
            token_type: String,
            refresh_token: Option<Secret>,
            // Some servers write a text.
            expires_in: Option<Value>,
            scope: Option<String>,
        }
        let written: Written =
            serde_json::from_slice(body).map_err(|error| error.classify_words().to_owned())?;
        if !written.token_type.eq_ignore_ascii_case("bearer") {
            return Err(format!(
                "it is of the type `{}`, and only `Bearer` can be used",
                super::shown(&written.token_type)
            ));
        }
        let access = written.access_token.expose();
        if access.is_empty() || !access.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("it cannot stand in a header".to_owned());
        }
        let expires_in = match written.expires_in {
            Some(Value::Number(number)) => number.as_u64(),
            Some(Value::String(text)) => text.trim().parse().ok(),
            _ => None,
        };
        Ok(Self {
            access: written.access_token,
            refresh: written.refresh_token.filter(|token| !token.expose().is_empty()),
            expires_in,
            scope: written.scope,
        })
    }

    pub(super) fn scopes(&self) -> Option<Vec<String>> {
        self.scope.as_ref().map(|scope| scope.split_ascii_whitespace().map(str::to_owned).collect())
    }
}
