//! Tokens without a person: for Berth itself (RFC 6749 §4.4; MCP's extension "OAuth Client Credentials"), or on the word of somebody whom the
//! authorization server believes (RFC 7523 §2.1): the platform of a workload, or an enterprise's identity provider (ID-JAG; MCP's extension
//! "Enterprise-Managed Authorization").
//!
//! [`super::discovery::Discovery`] ends with [`Found`] where nobody is to be asked.

use domain::secret::Secret;
use serde::Deserialize;

use super::grant::{self, Grant};
use super::identity::{ClassifyWords as _, Identity};
use super::{Answer, Body, Refusal, Request, Step, shown, urls};
use crate::metadata::AuthorizationServer;

/// The grant of an assertion (RFC 7523 §2.1).
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// How a client proves who it is by a JWT (RFC 7523 §2.2).
const CLIENT_ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// Changes one token for another (RFC 8693 §2.1).
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
const ID_JAG: &str = "urn:ietf:params:oauth:token-type:id-jag";

/// Where a token comes from, once the documents were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Who gives it.
    pub server: AuthorizationServer,
    /// What it is for.
    pub resource: String,
    /// What is asked for.
    pub scopes: Vec<String>,
}

/// Why the authorization server should give one.
#[derive(Debug, Clone, Copy)]
pub enum Basis<'a> {
    /// Berth is known there, and means itself.
    Client,
    /// A JWT of somebody whom it believes.
    Assertion(&'a Secret),
}

impl Found {
    /// The request for a token. `proof` is a JWT signed with the key that Berth is known by there, for the audience `server.issuer`
    /// (RFC 7523 §3); without one, `identity` shows its secret, if it has one.
    ///
    /// # Errors
    /// When another authorization server knows Berth by `identity`: what one gave is never shown to another.
    pub fn ask(
        &self,
        identity: &Identity,
        basis: Basis<'_>,
        proof: Option<&Secret>,
    ) -> Result<Request, Refusal> {
        let issuer = &self.server.issuer;
        if identity.issuer != *issuer {
            return Err(Step::Token.refuse(format!(
                "Berth is known to {}, and the server takes tokens of {issuer}",
                shown(&identity.issuer)
            )));
        }
        let scope = self.scopes.join(" ");
        let mut form = match basis {
            Basis::Client => vec![("grant_type", "client_credentials")],
            Basis::Assertion(jwt) => vec![("grant_type", JWT_BEARER), ("assertion", jwt.expose())],
        };
        form.push(("resource", &self.resource));
        if !scope.is_empty() {
            form.push(("scope", &scope));
        }
        let identity = identity.clone().settled(&self.server);
        let Some(proof) = proof else { return Ok(identity.sign(&self.server.token_endpoint, form)) };
        form.push(("client_assertion_type", CLIENT_ASSERTION));
        form.push(("client_assertion", proof.expose()));
        Ok(Identity { secret: None, ..identity.clone() }.sign(&self.server.token_endpoint, form))
    }

    /// Takes the answer to that request. A refusal is final: another kind of grant is not tried for it.
    ///
    /// # Errors
    /// Why it holds no token.
    pub fn take(&self, identity: &Identity, answer: Answer<'_>) -> Result<Grant, Refusal> {
        let issuer = &self.server.issuer;
        if !answer.is_success() {
            return Err(Step::Token.refuse(format!("{issuer} refused: {}", answer.words())));
        }
        let token = grant::Token::parse(answer.body)
            .map_err(|why| Step::Token.refuse(format!("the answer of {issuer} holds no token: {why}")))?;
        Ok(Grant {
            granted: token.scopes().unwrap_or_else(|| self.scopes.clone()),
            access: token.access,
            // RFC 6749 §4.4.3: there should be none, and asking again is as good.
            refresh: None,
            lifetime: token.expires_in,
            token_endpoint: self.server.token_endpoint.clone(),
            identity: identity.clone().settled(&self.server),
            resource: self.resource.clone(),
            scopes: self.scopes.clone(),
        })
    }
}

/// An identity provider that vouches for one of its people at other authorization servers (ID-JAG, §4.3).
#[derive(Debug, Clone)]
pub struct Provider {
    /// Where it changes tokens.
    pub token_endpoint: String,
    /// What it knows Berth by.
    pub client_id: String,
    /// What it gave when the person signed in.
    pub id_token: Secret,
}

impl Provider {
    /// The request for its word to `found`.
    pub fn ask(&self, found: &Found) -> Request {
        let scope = found.scopes.join(" ");
        let mut form = vec![
            ("grant_type", EXCHANGE),
            ("requested_token_type", ID_JAG),
            ("subject_token", self.id_token.expose()),
            ("subject_token_type", ID_TOKEN),
            ("audience", &found.server.issuer),
            ("resource", &found.resource),
            ("client_id", &self.client_id),
        ];
        if !scope.is_empty() {
            form.push(("scope", &scope));
        }
        let body = Body::Form(Secret::new(urls::form(&form)));
        Request { url: self.token_endpoint.clone(), body, authorization: None }
    }

    /// Takes the answer: the assertion for [`Basis::Assertion`].
    ///
    /// # Errors
    /// Why there is none.
    pub fn take(&self, answer: Answer<'_>) -> Result<Secret, Refusal> {
        #[derive(Deserialize)]
        struct Exchanged {
            access_token: Secret,
            issued_token_type: String,
        }
        let refuse = |why: String| Step::Token.refuse(format!("the identity provider {why}"));
        if !answer.is_success() {
            return Err(refuse(format!("does not vouch for the person: {}", answer.words())));
        }
        let given: Exchanged = serde_json::from_slice(answer.body)
            .map_err(|error| refuse(format!("gave no token ({})", error.classify_words())))?;
        if given.issued_token_type != ID_JAG {
            return Err(refuse(format!("gave a token of another kind, {}", shown(&given.issued_token_type))));
        }
        Ok(given.access_token)
    }
}
