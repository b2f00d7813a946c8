//! An identity provider that speaks OpenID Connect: discovery, the address that browsers are sent to, and what comes back for a code.
//!
//! It is the operator's choice and may be in their own network. What it answers is believed only as far as a signature, or TLS to the
//! address that the operator named, goes. Who somebody is for Berth is decided in [`crate::app::oidc`].

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use api::errors::ErrorCode;
use api::users::Role;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::names::AccountName;
use domain::secret::{self, Secret};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use reqwest::{Url, header};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::OnceCell;

use crate::app::problem::Chain;
use crate::app::{Outcome, Problem};

/// How long an answer of the provider may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest answer, in bytes.
const MAX: usize = 256 << 10;
/// How long what was discovered counts.
const FRESH: Duration = Duration::from_hours(1);
/// Keys are asked for again at most this often, when a token names one that is not known.
const AGAIN: Duration = Duration::from_mins(1);
/// What is asked for.
const SCOPE: &str = "openid profile email";
/// The longest subject (OpenID Connect Core §2).
const LONGEST_SUBJECT: usize = 255;
/// Signatures that count: of public keys alone (RFC 8725 §3.1).
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// The provider that people may sign in with.
#[derive(Debug, Clone)]
pub struct Oidc {
    issuer: String,
    client_id: String,
    client_secret: Secret,
    name: String,
    /// Whoever it vouches for is in this account, with this role, invited or not.
    pub provision: Option<(AccountName, Role)>,
}

/// Why an address is no issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "write the issuer as its own documents do: `https://` and a host, perhaps a path, and nothing behind; `http://` only on this machine"
)]
pub struct OidcError;

impl Oidc {
    /// Nobody is provisioned by it.
    ///
    /// # Errors
    /// When the issuer is no address of one.
    pub fn new(issuer: &str, client_id: &str, client_secret: Secret, name: &str) -> Result<Self, OidcError> {
        let url = Url::parse(issuer).map_err(|_| OidcError)?;
        let host = url.host_str().ok_or(OidcError)?.trim_matches(['[', ']']);
        let address = host.parse::<std::net::IpAddr>();
        let on_loopback = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
        let is_clear = url.scheme() == "http" && on_loopback;
        let is_plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
        if !(url.scheme() == "https" || is_clear) || !is_plain || url.password().is_some() {
            return Err(OidcError);
        }
        let (issuer, client_id) = (issuer.to_owned(), client_id.to_owned());
        Ok(Self { issuer, client_id, client_secret, name: name.to_owned(), provision: None })
    }
}

/// The provider, and what is known of it. One per process.
#[derive(Debug)]
pub(crate) struct Provider {
    config: Oidc,
    http: OnceCell<reqwest::Client>,
    known: Mutex<Option<(Instant, Arc<Metadata>)>>,
    keys: Mutex<Option<(Instant, Arc<Vec<Jwk>>)>>,
}

/// What it says of itself (OpenID Connect Discovery §3).
#[derive(Debug, Clone, Deserialize)]
struct Metadata {
    issuer: String,
    authorization_endpoint: Address,
    token_endpoint: Address,
    jwks_uri: Address,
    #[serde(default)]
    userinfo_endpoint: Option<Address>,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

/// An address of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
struct Address(Url);

impl TryFrom<String> for Address {
    type Error = OidcError;

    fn try_from(text: String) -> Result<Self, OidcError> {
        Url::parse(&text).map(Self).map_err(|_| OidcError)
    }
}

/// What one browser was sent away with; it comes back in a sealed cookie.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) redirect_uri: &'a str,
    pub(crate) state: &'a str,
    pub(crate) nonce: &'a str,
    pub(crate) verifier: &'a Secret,
}

/// Somebody whom it vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Vouched {
    pub(crate) issuer: String,
    /// Its own word for them, which is never another's.
    pub(crate) subject: String,
    /// What they would like to be called.
    pub(crate) name: Option<String>,
    /// An address that it has verified, in lower case.
    pub(crate) email: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Tokens {
    id_token: Secret,
    #[serde(default)]
    access_token: Option<Secret>,
}

#[derive(Debug, Deserialize)]
struct Claims {
    sub: String,
    aud: serde_json::Value,
    #[serde(default)]
    azp: Option<String>,
    #[serde(default)]
    nonce: Option<String>,
    #[serde(flatten)]
    about: About,
}

#[derive(Debug, Deserialize)]
struct UserInfo {
    sub: String,
    #[serde(flatten)]
    about: About,
}

#[derive(Debug, Default, Deserialize)]
struct About {
    #[serde(default)]
    preferred_username: Option<String>,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    email_verified: serde_json::Value,
}

impl About {
    fn verified_email(&self) -> Option<String> {
        // Some say it as a text.
        let is_verified = self.email_verified == true || self.email_verified == "true";
        self.email.as_deref().filter(|_| is_verified).map(str::to_lowercase)
    }
}

impl Provider {
    /// Nothing is asked yet.
    pub(crate) fn new(config: Oidc) -> Self {
        Self { config, http: OnceCell::new(), known: Mutex::default(), keys: Mutex::default() }
    }

    /// What people call it.
    pub(crate) fn name(&self) -> &str {
        &self.config.name
    }

    /// Which account whoever it vouches for is in.
    pub(crate) fn provision(&self) -> Option<&(AccountName, Role)> {
        self.config.provision.as_ref()
    }

    /// Where a browser is sent.
    ///
    /// # Errors
    /// 502 when the provider says nothing of use.
    pub(crate) async fn authorize(&self, asked: &Asked<'_>) -> Outcome<String> {
        let metadata = self.metadata().await?;
        let mut url = metadata.authorization_endpoint.0.clone();
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.config.client_id)
            .append_pair("redirect_uri", asked.redirect_uri)
            .append_pair("scope", SCOPE)
            .append_pair("state", asked.state)
            .append_pair("nonce", asked.nonce)
            .append_pair("code_challenge", &oauth::pkce::challenge(asked.verifier.expose()))
            .append_pair("code_challenge_method", "S256");
        Ok(url.into())
    }

    /// Refuses an answer that another issuer gave (RFC 9207 §2.4).
    ///
    /// # Errors
    /// 403.
    pub(crate) async fn check_issuer(&self, said: Option<&str>) -> Outcome<()> {
        let metadata = self.metadata().await?;
        match said {
            Some(said) if said == metadata.issuer => Ok(()),
            None if !metadata.authorization_response_iss_parameter_supported => Ok(()),
            _ => Err(refused("the answer is another identity provider's")),
        }
    }

    /// Whom the provider vouches for with a code.
    ///
    /// # Errors
    /// 403 for a code or a token that is not for this; 502 when the provider says nothing of use.
    pub(crate) async fn vouched(&self, code: &str, asked: &Asked<'_>) -> Outcome<Vouched> {
        let metadata = self.metadata().await?;
        let tokens = self.exchange(&metadata, code, asked).await?;
        let claims = self.verified(&metadata, tokens.id_token.expose()).await?;
        check(&claims, &self.config.client_id, asked.nonce)?;
        let mut about = claims.about;
        // Many put into the token only who it is.
        let lacks = about.email.is_none() || about.preferred_username.is_none();
        if let (true, Some(endpoint), Some(token)) =
            (lacks, &metadata.userinfo_endpoint, &tokens.access_token)
        {
            let request = self.http().await?.get(endpoint.0.clone()).bearer_auth(token.expose());
            let info: UserInfo = read(request).await?;
            if info.sub != claims.sub {
                return Err(refused("what the identity provider says of you is of somebody else"));
            }
            if about.email.is_none() {
                (about.email, about.email_verified) = (info.about.email, info.about.email_verified);
            }
            about.preferred_username = about.preferred_username.or(info.about.preferred_username);
        }
        let (email, name) = (about.verified_email(), about.preferred_username);
        Ok(Vouched { issuer: metadata.issuer.clone(), subject: claims.sub, name, email })
    }

    async fn exchange(&self, metadata: &Metadata, code: &str, asked: &Asked<'_>) -> Outcome<Tokens> {
        let (id, secret) = (self.config.client_id.as_str(), self.config.client_secret.expose());
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", asked.redirect_uri),
            ("code_verifier", asked.verifier.expose()),
        ];
        let mut request = self.http().await?.post(metadata.token_endpoint.0.clone());
        // Without a word it is `client_secret_basic` (OpenID Connect Discovery §3).
        let methods = metadata.token_endpoint_auth_methods_supported.as_deref();
        let takes = |method: &str| methods.is_some_and(|all| all.iter().any(|one| one == method));
        if methods.is_none() || takes("client_secret_basic") {
            // Both parts are encoded as a form's before they are put together (RFC 6749 §2.3.1).
            let part = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            let pair = Secret::new(STANDARD.encode(format!("{}:{}", part(id), part(secret))));
            request = request.header(header::AUTHORIZATION, format!("Basic {}", pair.expose()));
        } else {
            form.extend([("client_id", id), ("client_secret", secret)]);
        }
        let body = serde_urlencoded::to_string(&form).map_err(|error| Problem::Failed(Box::new(error)))?;
        read(request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(body)).await
    }

    async fn verified(&self, metadata: &Metadata, token: &str) -> Outcome<Claims> {
        let no_good = || refused("the identity provider's token cannot be verified");
        let header = jsonwebtoken::decode_header(token).map_err(|_| no_good())?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(no_good());
        }
        let mut keys = self.keys(metadata, FRESH).await?;
        if fitting(&keys, &header).next().is_none() {
            // Perhaps it has a new one.
            keys = self.keys(metadata, AGAIN).await?;
        }
        let mut validation = Validation::new(header.alg);
        validation.set_audience(&[&self.config.client_id]);
        validation.set_issuer(&[&metadata.issuer]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.validate_nbf = true;
        for key in fitting(&keys, &header) {
            let Ok(key) = DecodingKey::from_jwk(key) else { continue };
            // A key of another kind than the algorithm's is an error, so no header chooses how a key is used.
            match jsonwebtoken::decode::<Claims>(token, &key, &validation) {
                Ok(data) => return Ok(data.claims),
                Err(error) => tracing::debug!(%error, "an ID token was not of this key"),
            }
        }
        Err(no_good())
    }

    async fn metadata(&self) -> Outcome<Arc<Metadata>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, metadata)) = known.filter(|(at, _)| at.elapsed() < FRESH) {
            return Ok(metadata);
        }
        let url = format!("{}/.well-known/openid-configuration", self.config.issuer.trim_end_matches('/'));
        let metadata: Metadata = read(self.http().await?.get(url)).await?;
        if metadata.issuer != self.config.issuer {
            let (said, expected) = (&metadata.issuer, &self.config.issuer);
            tracing::error!(
                said,
                expected,
                "the identity provider calls itself something else than `--oidc-issuer`"
            );
            return Err(unusable());
        }
        // TLS is as much of the provider's word as its signature.
        let is_clear = metadata.issuer.starts_with("http:");
        let has_clear = [&metadata.authorization_endpoint, &metadata.token_endpoint, &metadata.jwks_uri]
            .into_iter()
            .chain(&metadata.userinfo_endpoint)
            .any(|address| address.0.scheme() != "https");
        if !is_clear && has_clear {
            tracing::error!("the identity provider has TLS, and names addresses without it");
            return Err(unusable());
        }
        let metadata = Arc::new(metadata);
        let known = Some((Instant::now(), Arc::clone(&metadata)));
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = known;
        Ok(metadata)
    }

    /// Its keys, not older than that.
    async fn keys(&self, metadata: &Metadata, age: Duration) -> Outcome<Arc<Vec<Jwk>>> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<serde_json::Value>,
        }
        let known = self.keys.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, keys)) = known.filter(|(at, _)| at.elapsed() < age) {
            return Ok(keys);
        }
        let set: Set = read(self.http().await?.get(metadata.jwks_uri.0.clone())).await?;
        // Those of a kind that is not known are not ours to use.
        let keys = set.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok()).collect();
        let keys: Arc<Vec<Jwk>> = Arc::new(keys);
        *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), Arc::clone(&keys)));
        Ok(keys)
    }

    async fn http(&self) -> Outcome<&reqwest::Client> {
        let is_clear = self.config.issuer.starts_with("http:");
        let made = self.http.get_or_try_init(async || {
            let builder = reqwest::Client::builder()
                .timeout(PATIENCE)
                .redirect(reqwest::redirect::Policy::none())
                .user_agent(concat!("berth/", env!("CARGO_PKG_VERSION")));
            // Without TLS no authorities are needed, and a machine may have none.
            if is_clear { builder.tls_certs_only([]).build() } else { builder.build() }
        });
        made.await.map_err(|error| Problem::Failed(Box::new(error)))
    }
}

/// The keys that a token may be of.
fn fitting<'a>(keys: &'a [Jwk], header: &'a jsonwebtoken::Header) -> impl Iterator<Item = &'a Jwk> {
    keys.iter().filter(|key| {
        let named = header.kid.is_none() || key.common.key_id == header.kid;
        let algorithm =
            key.common.key_algorithm.is_none_or(|of| of.to_string() == format!("{:?}", header.alg));
        let signs = !matches!(key.common.public_key_use, Some(jsonwebtoken::jwk::PublicKeyUse::Encryption));
        named && algorithm && signs
    })
}

/// What a signature does not say (OpenID Connect Core §3.1.3.7).
fn check(claims: &Claims, client_id: &str, nonce: &str) -> Outcome<()> {
    let several = claims.aud.as_array().is_some_and(|all| 1 < all.len());
    let for_us = match &claims.azp {
        Some(azp) => azp == client_id,
        None => !several,
    };
    if !for_us {
        return Err(refused("the identity provider's token is for another client"));
    }
    let given = claims.nonce.as_deref().unwrap_or_default();
    if nonce.is_empty() || !secret::same(given.as_bytes(), nonce.as_bytes()) {
        return Err(refused("the identity provider's token is of another sign-in"));
    }
    if claims.sub.is_empty() || LONGEST_SUBJECT < claims.sub.len() || claims.sub.contains('\0') {
        return Err(refused("the identity provider's token names nobody"));
    }
    Ok(())
}

fn refused(message: &str) -> Problem {
    Problem::refused(ErrorCode::Forbidden, message).hint("begin again at the sign-in")
}

fn unusable() -> Problem {
    Problem::refused(
        ErrorCode::BadGateway,
        "the identity provider cannot be used; the log of Berth has the reason",
    )
    .hint("sign in with a password, or ask whoever runs this Berth")
}

/// Sends and reads JSON, no more of it than is useful.
async fn read<T: DeserializeOwned>(request: reqwest::RequestBuilder) -> Outcome<T> {
    let failed = |error: &(dyn std::error::Error + 'static)| {
        tracing::warn!(error = %Chain(error), "the identity provider did not answer as it must");
        unusable()
    };
    let mut response =
        request.header(header::ACCEPT, "application/json").send().await.map_err(|error| failed(&error))?;
    let (status, path) = (response.status(), response.url().path().to_owned());
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await.map_err(|error| failed(&error))? {
        if MAX < body.len() + part.len() {
            tracing::warn!(path, "the identity provider answers more than is of use");
            return Err(unusable());
        }
        body.extend_from_slice(&part);
    }
    if !status.is_success() {
        // Its own code, such as `invalid_grant`, and nothing of what was sent.
        let said: Option<serde_json::Value> = serde_json::from_slice(&body).ok();
        let code = said.as_ref().and_then(|said| said.get("error")?.as_str());
        tracing::warn!(%status, path, code, "the identity provider refused");
        return Err(if code == Some("invalid_grant") {
            refused("this sign-in came too late, or was used already")
        } else {
            unusable()
        });
    }
    serde_json::from_slice(&body).map_err(|error| failed(&error))
}

#[cfg(test)]
mod tests;
