//! Who Berth is to an authorization server: what its owner registered by hand, the URL of Berth's own document, or what the
//! authorization server gave at a dynamic registration, in this order. What one issuer gave is never shown to another.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::secret::{self, Secret};
use serde::{Deserialize, Serialize};

use super::{Answer, Body, Refusal, Request, Step, urls};
use crate::metadata::AuthorizationServer;
use crate::redirect::{self, Kind};
use crate::registration::ClientMetadata;

/// How a client proves who it is at the token endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// HTTP Basic (RFC 6749 §2.3.1).
    ClientSecretBasic,
    /// In the form.
    ClientSecretPost,
    /// It has no secret.
    None,
}

impl Method {
    fn of(text: &str) -> Option<Self> {
        match text {
            "client_secret_basic" => Some(Self::ClientSecretBasic),
            "client_secret_post" => Some(Self::ClientSecretPost),
            "none" => Some(Self::None),
            _ => None,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
            Self::None => "none",
        }
    }

    /// The best one of a list. An empty list means Basic (RFC 8414 §2).
    fn best(supported: &[String]) -> Option<Self> {
        if supported.is_empty() {
            return Some(Self::ClientSecretBasic);
        }
        [Self::ClientSecretBasic, Self::ClientSecretPost, Self::None]
            .into_iter()
            .find(|method| supported.iter().any(|name| name == method.as_str()))
    }
}

/// What one authorization server knows Berth by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The issuer that it is known to, byte for byte.
    pub issuer: String,
    /// `client_id`.
    pub client_id: String,
    /// `client_secret`.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "secret::expose_some")]
    pub secret: Option<Secret>,
    /// How it is shown; `None` until the authorization server's document was read.
    #[serde(default)]
    pub method: Option<Method>,
    /// Seconds since 1970 from which on the secret is no good.
    #[serde(default)]
    pub expires_at: Option<u64>,
    /// Whether it came of a dynamic registration, with this redirect URI.
    #[serde(default)]
    pub registered_for: Option<String>,
}

impl Identity {
    /// What the owner registered by hand.
    pub fn given(issuer: impl Into<String>, client_id: impl Into<String>, secret: Option<Secret>) -> Self {
        Self {
            issuer: issuer.into(),
            client_id: client_id.into(),
            secret,
            method: None,
            expires_at: None,
            registered_for: None,
        }
    }

    /// The URL of Berth's own document.
    pub(super) fn document(issuer: &str, url: &str) -> Self {
        Self { method: Some(Method::None), ..Self::given(issuer, url, None) }
    }

    /// Settles how it is shown to a server that says what it takes.
    pub(super) fn settled(mut self, server: &AuthorizationServer) -> Self {
        let best = || match &self.secret {
            None => Method::None,
            Some(_) => Method::best(&server.token_endpoint_auth_methods_supported)
                .unwrap_or(Method::ClientSecretBasic),
        };
        self.method = Some(self.method.unwrap_or_else(best));
        self
    }

    /// Puts who it is onto a request to the token endpoint.
    pub(super) fn sign<'a>(&'a self, url: &str, mut form: Vec<(&'a str, &'a str)>) -> Request {
        // With Basic too: servers made with Python's SDK look for it there first, and RFC 6749 §3.2.1 lets everybody send it.
        form.push(("client_id", &self.client_id));
        let mut authorization = None;
        match (&self.secret, self.method.unwrap_or(Method::None)) {
            (Some(secret), Method::ClientSecretBasic) => {
                let pair =
                    format!("{}:{}", urls::form_value(&self.client_id), urls::form_value(secret.expose()));
                authorization = Some(Secret::new(format!("Basic {}", STANDARD.encode(pair))));
            }
            (Some(secret), Method::ClientSecretPost) => form.push(("client_secret", secret.expose())),
            _ => {}
        }
        Request { url: url.to_owned(), body: Body::Form(Secret::new(urls::form(&form))), authorization }
    }
}

/// What Berth says of itself to every authorization server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// What people are shown.
    pub name: String,
    /// Its page.
    pub page: Option<String>,
    /// Where people come back to.
    pub redirect_uri: String,
    /// Where its own document is for everybody to read (Client ID Metadata Documents); `None` when nobody could.
    pub document: Option<String>,
}

impl Profile {
    /// The document at [`Self::document`], and the body of a registration but for the method.
    pub fn metadata(&self) -> ClientMetadata {
        ClientMetadata {
            client_id: self.document.clone(),
            client_name: Some(self.name.clone()),
            client_uri: self.page.clone(),
            redirect_uris: vec![self.redirect_uri.clone()],
            grant_types: vec!["authorization_code".to_owned(), "refresh_token".to_owned()],
            response_types: vec!["code".to_owned()],
            token_endpoint_auth_method: Some(Method::None.as_str().to_owned()),
            application_type: Some(
                match redirect::judge(&self.redirect_uri) {
                    Ok(Kind::Loopback | Kind::Program) => "native",
                    _ => "web",
                }
                .to_owned(),
            ),
            ..ClientMetadata::default()
        }
    }

    /// A dynamic registration (RFC 7591 §3.1).
    pub(super) fn register(
        &self,
        endpoint: &str,
        server: &AuthorizationServer,
        scopes: &[String],
    ) -> Result<Request, Refusal> {
        let method = Method::best(&server.token_endpoint_auth_methods_supported).ok_or_else(|| {
            Step::Registration.refuse(format!(
                "{} takes none of `client_secret_basic`, `client_secret_post` and `none` at its token endpoint; register \
                 Berth there by hand",
                server.issuer
            ))
        })?;
        let metadata = ClientMetadata {
            client_id: None,
            token_endpoint_auth_method: Some(method.as_str().to_owned()),
            scope: (!scopes.is_empty()).then(|| scopes.join(" ")),
            ..self.metadata()
        };
        let body =
            serde_json::to_string(&metadata).map_err(|error| Step::Registration.refuse(error.to_string()))?;
        Ok(Request { url: endpoint.to_owned(), body: Body::Json(body), authorization: None })
    }

    /// What came of it (RFC 7591 §3.2).
    pub(super) fn registered(
        &self,
        server: &AuthorizationServer,
        answer: Answer<'_>,
    ) -> Result<Identity, Refusal> {
        #[derive(Deserialize)]
        struct Registered {
            client_id: String,
            client_secret: Option<Secret>,
            client_secret_expires_at: Option<u64>,
            token_endpoint_auth_method: Option<String>,
        }
        let refuse = |why: String| Step::Registration.refuse(why);
        if !answer.is_success() {
            return Err(refuse(format!(
                "{} refused to register Berth ({}); register it there by hand, with the redirect URI {}, and give Berth the \
                 client id",
                server.issuer,
                answer.words(),
                self.redirect_uri
            )));
        }
        let registered: Registered = serde_json::from_slice(answer.body).map_err(|error| {
            refuse(format!("{} answered with no registration ({})", server.issuer, error.classify_words()))
        })?;
        let secret = registered.client_secret.filter(|secret| !secret.expose().is_empty());
        let said = registered.token_endpoint_auth_method.as_deref().and_then(Method::of);
        // A server that only knows clients without secrets may give one all the same.
        let method = said.or_else(|| Method::best(&server.token_endpoint_auth_methods_supported));
        Ok(Identity {
            issuer: server.issuer.clone(),
            client_id: registered.client_id,
            method: Some(method.filter(|_| secret.is_some()).unwrap_or(Method::None)),
            secret,
            expires_at: registered.client_secret_expires_at.filter(|at| 0 < *at),
            registered_for: Some(self.redirect_uri.clone()),
        })
    }
}

/// A fault of a document in words; the document itself is not repeated.
pub(super) trait ClassifyWords {
    /// What kind of fault.
    fn classify_words(&self) -> &'static str;
}

impl ClassifyWords for serde_json::Error {
    fn classify_words(&self) -> &'static str {
        match self.classify() {
            serde_json::error::Category::Data => "a member is missing or wrong",
            serde_json::error::Category::Eof => "it is cut off",
            _ => "it is no JSON",
        }
    }
}
