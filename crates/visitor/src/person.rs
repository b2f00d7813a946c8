//! Tokens from Berth's OAuth client, with a person who agrees to everything: the authorization server sends them back at once.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use domain::secret::Secret;
use domain::shim::{TokenReason, TokenWanted};
use fetch::{Fetcher, Reach, client};
use http::header::LOCATION;
use http::{HeaderMap, HeaderValue, Method};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use oauth::challenge::Challenge;
use oauth::client::discovery::Begin;
use oauth::client::grant::Grant;
use oauth::client::identity::{Identity, Profile};
use oauth::client::unattended::{Basis, Provider};
use serde::Deserialize;
use serde_json::json;
use shim::upstream::{Credentials, Token};
use tokio::time::Instant;

/// Where the suite has a document of ours, so to speak: it compares the text alone.
const DOCUMENT: &str = "https://conformance-test.local/client-metadata.json";
/// Nobody listens there: the person reads the address that they are sent to, and does not go.
const REDIRECT: &str = "http://127.0.0.1:8420/oauth/upstream/callback";

/// What the suite tells a client in advance.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Known {
    client_id: Option<String>,
    client_secret: Option<Secret>,
    issuer: Option<String>,
    /// What Berth proves with who it is (MCP's extension "OAuth Client Credentials").
    private_key_pem: Option<Secret>,
    /// What a workload's platform says of it.
    valid_jwt: Option<Secret>,
    /// Of an enterprise's identity provider, where somebody signed in.
    idp_client_id: Option<String>,
    idp_id_token: Option<Secret>,
    idp_token_endpoint: Option<String>,
}

/// What the suite gives to clients that ask for tokens without a person: an id that is bound to no issuer.
#[derive(Debug)]
struct Unattended {
    client_id: String,
    known: Known,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Person {
    server: String,
    fetcher: Fetcher,
    unattended: Option<Unattended>,
    identities: Mutex<Vec<Identity>>,
    grant: Mutex<Option<(u64, Grant)>>,
}

impl Person {
    pub(crate) fn new(server: &str, known: Known) -> anyhow::Result<Self> {
        let (mut given, mut unattended) = (None, None);
        match (known.client_id.clone(), known.issuer.clone()) {
            (Some(id), Some(issuer)) => given = Some(Identity::given(issuer, id, known.client_secret)),
            (Some(client_id), None) => unattended = Some(Unattended { client_id, known }),
            (None, _) => {}
        }
        Ok(Self {
            server: server.to_owned(),
            // The suite's servers are on this machine.
            fetcher: Fetcher::new(Reach::Everywhere)?,
            unattended,
            identities: Mutex::new(given.into_iter().collect()),
            grant: Mutex::default(),
        })
    }

    async fn obtain(&self, wanted: TokenWanted) -> anyhow::Result<Token> {
        let before = self.grant.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let refreshed = match &before {
            Some((_, grant)) if wanted.reason != TokenReason::Scope => {
                client::refresh(&self.fetcher, grant).await.ok()
            }
            _ => None,
        };
        let before_that = before.as_ref().map(|(_, grant)| grant);
        let grant = match (refreshed, &self.unattended) {
            (Some(grant), _) => grant,
            (None, Some(unattended)) => self.ask(&wanted, unattended, before_that).await?,
            (None, None) => self.authorize(&wanted, before_that).await?,
        };
        let mut header = HeaderValue::from_str(&format!("Bearer {}", grant.access.expose()))?;
        header.set_sensitive(true);
        let version = before.map_or(1, |(version, _)| version + 1);
        let until = grant.lifetime.map(|seconds| Instant::now() + Duration::from_secs(seconds));
        *self.grant.lock().unwrap_or_else(PoisonError::into_inner) = Some((version, grant));
        Ok(Token { header, version, until })
    }

    fn begin(
        &self,
        wanted: &TokenWanted,
        before: Option<&Grant>,
        profile: Option<Profile>,
    ) -> anyhow::Result<Begin> {
        Ok(Begin {
            server: self.server.clone(),
            challenge: Challenge::parse(wanted.challenge.iter().map(String::as_str)).unwrap_or_default(),
            profile,
            identities: self.identities.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            before: before.map(|grant| (grant.identity.issuer.clone(), grant.scopes.clone())),
            now: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs(),
            state: random()?,
            verifier: random()?,
        })
    }

    /// Without a person.
    async fn ask(
        &self,
        wanted: &TokenWanted,
        unattended: &Unattended,
        before: Option<&Grant>,
    ) -> anyhow::Result<Grant> {
        let Unattended { client_id, known } = unattended;
        let found = client::discover_unattended(&self.fetcher, self.begin(wanted, before, None)?).await?;
        let issuer = found.server.issuer.as_str();
        let identity = Identity::given(issuer, client_id, known.client_secret.clone());
        let proof = known.private_key_pem.as_ref().map(|key| proof(key, client_id, issuer)).transpose()?;
        let provider = known.idp_client_id.clone().zip(known.idp_id_token.clone());
        let vouched = match provider.zip(known.idp_token_endpoint.clone()) {
            Some(((client_id, id_token), token_endpoint)) => {
                let provider = Provider { token_endpoint, client_id, id_token };
                Some(client::vouched(&self.fetcher, &provider, &found).await?)
            }
            None => known.valid_jwt.clone(),
        };
        let basis = vouched.as_ref().map_or(Basis::Client, Basis::Assertion);
        Ok(client::ask(&self.fetcher, &found, &identity, basis, proof.as_ref()).await?)
    }

    async fn authorize(&self, wanted: &TokenWanted, before: Option<&Grant>) -> anyhow::Result<Grant> {
        let profile = Profile {
            name: "Berth".to_owned(),
            page: None,
            redirect_uri: REDIRECT.to_owned(),
            document: Some(DOCUMENT.to_owned()),
        };
        let begin = self.begin(wanted, before, Some(profile))?;
        let visit = client::discover(&self.fetcher, begin).await?;
        let identity = &visit.pending.identity;
        if identity.registered_for.is_some() {
            self.identities.lock().unwrap_or_else(PoisonError::into_inner).push(identity.clone());
        }
        let page =
            self.fetcher.send(Method::GET, &visit.url, HeaderMap::new(), Bytes::new(), 64 << 10).await?;
        let back = page.headers.get(LOCATION).context("nobody is sent back")?.to_str()?;
        let (place, query) = back.split_once('?').unwrap_or((back, ""));
        anyhow::ensure!(place == REDIRECT, "the person is sent to {place}");
        Ok(client::redeem(&self.fetcher, &visit.pending, query).await?)
    }
}

impl Credentials for Person {
    fn token<'a>(
        &'a self,
        wanted: TokenWanted,
    ) -> Pin<Box<dyn Future<Output = Result<Token, String>> + Send + 'a>> {
        Box::pin(async move { self.obtain(wanted).await.map_err(|error| format!("{error:#}")) })
    }
}

/// Who signs with the key is the client, to one authorization server and for a minute (RFC 7523 §3).
fn proof(key: &Secret, client_id: &str, issuer: &str) -> anyhow::Result<Secret> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    let claims = json!({
        "iss": client_id, "sub": client_id, "aud": issuer, "iat": now, "exp": now + 60, "jti": random()?.expose(),
    });
    let key = EncodingKey::from_ec_pem(key.expose().as_bytes())?;
    Ok(Secret::new(jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims, &key)?))
}

fn random() -> anyhow::Result<Secret> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("randomness: {error}"))?;
    Ok(Secret::new(URL_SAFE_NO_PAD.encode(bytes)))
}
