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
use oauth::challenge::Challenge;
use oauth::client::discovery::Begin;
use oauth::client::grant::Grant;
use oauth::client::identity::{Identity, Profile};
use serde::Deserialize;
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
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Person {
    server: String,
    fetcher: Fetcher,
    identities: Mutex<Vec<Identity>>,
    grant: Mutex<Option<(u64, Grant)>>,
}

impl Person {
    pub(crate) fn new(server: &str, known: Known) -> anyhow::Result<Self> {
        let given = known.client_id.zip(known.issuer);
        let given = given.map(|(id, issuer)| Identity::given(issuer, id, known.client_secret));
        Ok(Self {
            server: server.to_owned(),
            // The suite's servers are on this machine.
            fetcher: Fetcher::new(Reach::Everywhere)?,
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
        let grant = match refreshed {
            Some(grant) => grant,
            None => self.authorize(&wanted, before.as_ref().map(|(_, grant)| grant)).await?,
        };
        let mut header = HeaderValue::from_str(&format!("Bearer {}", grant.access.expose()))?;
        header.set_sensitive(true);
        let version = before.map_or(1, |(version, _)| version + 1);
        let until = grant.lifetime.map(|seconds| Instant::now() + Duration::from_secs(seconds));
        *self.grant.lock().unwrap_or_else(PoisonError::into_inner) = Some((version, grant));
        Ok(Token { header, version, until })
    }

    async fn authorize(&self, wanted: &TokenWanted, before: Option<&Grant>) -> anyhow::Result<Grant> {
        let begin = Begin {
            server: self.server.clone(),
            challenge: Challenge::parse(wanted.challenge.iter().map(String::as_str)).unwrap_or_default(),
            profile: Profile {
                name: "Berth".to_owned(),
                page: None,
                redirect_uri: REDIRECT.to_owned(),
                document: Some(DOCUMENT.to_owned()),
            },
            identities: self.identities.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            before: before.map(|grant| (grant.identity.issuer.clone(), grant.scopes.clone())),
            now: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs(),
            state: random()?,
            verifier: random()?,
        };
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

fn random() -> anyhow::Result<Secret> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("randomness: {error}"))?;
    Ok(Secret::new(URL_SAFE_NO_PAD.encode(bytes)))
}
