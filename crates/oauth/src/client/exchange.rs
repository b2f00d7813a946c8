//! From a person's decision to a token.

use domain::secret::{self, Secret};
use serde::{Deserialize, Serialize};

use super::grant::{self, Grant};
use super::identity::Identity;
use super::{Answer, Refusal, Request, Step, shown};

/// What is kept while a person decides. It holds secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// What the answer is known by.
    #[serde(serialize_with = "secret::expose")]
    pub state: Secret,
    /// Of PKCE.
    #[serde(serialize_with = "secret::expose")]
    pub verifier: Secret,
    /// Where the code is changed for a token.
    pub token_endpoint: String,
    /// Whether the authorization server said that its answers carry `iss`.
    pub says_issuer: bool,
    /// Where the person comes back to.
    pub redirect_uri: String,
    /// Who Berth is there.
    pub identity: Identity,
    /// What the token is for.
    pub resource: String,
    /// What was asked for.
    pub scopes: Vec<String>,
}

impl Pending {
    /// Takes what the person brought back: the query of the redirect URI. Gives the request that changes the code.
    ///
    /// # Errors
    /// Why there will be no token: another server's answer, a refusal, or none at all.
    pub fn returned(&self, query: &str) -> Result<Request, Refusal> {
        let refuse = |why: String| Step::Authorization.refuse(why);
        let get = |name: &str| -> Result<Option<String>, Refusal> {
            let mut values = form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == name);
            let first = values.next().map(|(_, value)| value.into_owned());
            if values.next().is_some() {
                return Err(refuse(format!("the answer has `{name}` more than once")));
            }
            Ok(first)
        };
        let state = get("state")?.unwrap_or_default();
        if !secret::same(state.as_bytes(), self.state.expose().as_bytes()) {
            return Err(refuse("the answer belongs to another request; begin again".to_owned()));
        }
        // Before anything else is believed (RFC 9207 §2.4), byte for byte.
        let issuer = &self.identity.issuer;
        match get("iss")? {
            Some(named) if named != *issuer => {
                return Err(refuse(format!(
                    "the answer is {}'s and not {issuer}'s, which was asked; nothing was sent to either",
                    shown(&named)
                )));
            }
            None if self.says_issuer => {
                return Err(refuse(format!(
                    "the answer does not say whose it is, although {issuer} says that its answers do; it may be another one's"
                )));
            }
            _ => {}
        }
        if let Some(error) = get("error")? {
            let more =
                get("error_description")?.map(|more| format!(" ({})", shown(&more))).unwrap_or_default();
            return Err(refuse(match error.as_str() {
                "access_denied" => format!("access was refused at {issuer}{more}"),
                error => format!("{issuer} answered `{}`{more}", shown(error)),
            }));
        }
        let code = get("code")?.filter(|code| !code.is_empty());
        let code = code.ok_or_else(|| refuse(format!("{issuer} gave neither a code nor an error")))?;
        let form = vec![
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("redirect_uri", &self.redirect_uri),
            ("code_verifier", self.verifier.expose()),
            ("resource", &self.resource),
        ];
        Ok(self.identity.sign(&self.token_endpoint, form))
    }

    /// Takes the answer to that request.
    ///
    /// # Errors
    /// Why it holds no token.
    pub fn take(&self, answer: Answer<'_>) -> Result<Grant, Refusal> {
        if !answer.is_success() {
            return Err(Step::Token.refuse(format!(
                "{} refused the code: {}; begin again",
                self.identity.issuer,
                answer.words()
            )));
        }
        let token = grant::Token::parse(answer.body).map_err(|why| {
            Step::Token.refuse(format!("the answer of {} holds no token: {why}", self.identity.issuer))
        })?;
        Ok(Grant {
            granted: token.scopes().unwrap_or_else(|| self.scopes.clone()),
            access: token.access,
            refresh: token.refresh,
            lifetime: token.expires_in,
            token_endpoint: self.token_endpoint.clone(),
            identity: self.identity.clone(),
            resource: self.resource.clone(),
            scopes: self.scopes.clone(),
        })
    }
}
