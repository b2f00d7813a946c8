//! Tokens that others give: JWTs of issuers that the operator named, such as a Supabase project. Their keys are fetched and kept;
//! which algorithm a key is used with is the key's to say, never the token's (RFC 8725 §3.1).

use std::sync::Arc;
use std::time::{Duration, Instant};

use api::users::Role;
use arc_swap::ArcSwapOption;
use bytes::Bytes;
use domain::names::AccountName;
use domain::secret::Secret;
use domain::time::Timestamp;
use fetch::{Fetcher, Reach};
use gateway::AuthError;
use http::{HeaderMap, Method, StatusCode};
use jsonwebtoken::jwk::{Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;

/// Keys are fetched anew after so long.
const STALE: Duration = Duration::from_hours(1);
/// And, for a token with a key that is not known, not more often than this.
const AGAIN: Duration = Duration::from_secs(30);
/// The largest set of keys, in bytes.
const MAX_KEYS: usize = 256 << 10;
/// How far clocks may differ, in seconds.
const SKEW: i64 = 30;
/// The longest text that names somebody, in bytes.
const MAX_SUBJECT: usize = 255;

/// An issuer whose tokens are taken.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// The `iss` of its tokens, to the letter.
    pub issuer: String,
    /// What the `aud` of its tokens must name.
    pub audience: String,
    /// What its tokens are verified with.
    pub keys: IssuerKeys,
    /// Where its people belong.
    pub account: IssuerAccount,
    /// The values of the claim `role` that are let in; none: every token is.
    pub roles: Vec<String>,
}

/// What tokens are verified with.
#[derive(Debug, Clone)]
pub enum IssuerKeys {
    /// Public keys at this URL (RFC 7517 §5).
    At(String),
    /// A secret that both know: HS256 and nothing else.
    Shared(Secret),
}

/// Where the people of an issuer belong. Somebody who comes for the first time is made a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IssuerAccount {
    /// All in this one, with this role to begin with.
    One(AccountName, Role),
    /// Each in an account of their own.
    Own,
}

impl Issuer {
    /// A Supabase project by its URL, such as `https://abc.supabase.co`: its signed-in users, each in an account of their own. With a
    /// secret, the project's older way of signing; without one, its public keys.
    pub fn supabase(url: &str, secret: Option<Secret>) -> Self {
        let issuer = format!("{}/auth/v1", url.trim_end_matches('/'));
        let keys = secret
            .map_or_else(|| IssuerKeys::At(format!("{issuer}/.well-known/jwks.json")), IssuerKeys::Shared);
        let signed_in = "authenticated".to_owned();
        Self {
            issuer,
            audience: signed_in.clone(),
            keys,
            account: IssuerAccount::Own,
            roles: vec![signed_in],
        }
    }
}

/// Whom a token is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Foreign {
    /// The issuer's word for them.
    pub(crate) subject: String,
    /// Their e-mail address, as the issuer says; for names that are shown, never to find anybody by.
    pub(crate) email: Option<String>,
    /// When the token ends.
    pub(crate) expires_at: Timestamp,
}

#[derive(Debug, Deserialize)]
struct Issued {
    iss: String,
}

/// Whom a JWT is for: one or several (RFC 7519 §4.1.3).
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Audience {
    /// This one.
    One(String),
    /// Any of these.
    Several(Vec<String>),
}

impl Audience {
    /// Whether it is one of `mine`.
    pub(crate) fn is_for(&self, mine: &[&str]) -> bool {
        match self {
            Self::One(one) => mine.contains(&one.as_str()),
            Self::Several(all) => all.iter().any(|one| mine.contains(&one.as_str())),
        }
    }
}

#[derive(Debug, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    exp: i64,
    #[serde(default)]
    nbf: Option<i64>,
    #[serde(default)]
    role: Option<String>,
    #[serde(default)]
    email: Option<String>,
}

/// Who gave a token, as it says itself; nothing of it is proven.
pub(crate) fn issuer_of(token: &str) -> Option<String> {
    jsonwebtoken::dangerous::insecure_decode_claims::<Issued>(token).ok().map(|claims| claims.iss)
}

/// The issuers whose tokens are taken.
#[derive(Debug)]
pub(crate) struct Issuers(Vec<Known>);

#[derive(Debug)]
pub(crate) struct Known {
    /// As it was configured.
    pub(crate) issuer: Issuer,
    keys: ArcSwapOption<Fetched>,
    /// Fetching, and when it was last tried.
    trying: Mutex<Option<Instant>>,
}

#[derive(Debug)]
struct Fetched {
    set: JwkSet,
    at: Instant,
}

impl Issuers {
    /// Nothing is fetched yet.
    pub(crate) fn new(issuers: Vec<Issuer>) -> Self {
        let known = |issuer| Known { issuer, keys: ArcSwapOption::empty(), trying: Mutex::new(None) };
        Self(issuers.into_iter().map(known).collect())
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The issuer of that name.
    pub(crate) fn get(&self, issuer: &str) -> Option<&Known> {
        self.0.iter().find(|known| known.issuer.issuer == issuer)
    }
}

impl Known {
    /// Whom a token is of.
    ///
    /// # Errors
    /// [`AuthError::Wrong`] for what the issuer did not sign for us; [`AuthError::Expired`]; [`AuthError::Unavailable`] when its keys
    /// cannot be had.
    pub(crate) async fn verify(&self, token: &str, at: Timestamp) -> Result<Foreign, AuthError> {
        let claims: Claims = self.signed(token, |_| true).await?;
        let issuer = &self.issuer;
        let is_for_us = claims.aud.is_for(&[&issuer.audience]);
        let role = claims.role.unwrap_or_default();
        let is_let_in = issuer.roles.is_empty() || issuer.roles.contains(&role);
        if claims.iss != issuer.issuer || !is_for_us || !is_let_in {
            return Err(AuthError::Wrong);
        }
        if claims.sub.is_empty() || MAX_SUBJECT < claims.sub.len() || claims.sub.chars().any(char::is_control)
        {
            return Err(AuthError::Wrong);
        }
        let now = at.0 / 1_000_000;
        if claims.exp + SKEW <= now {
            return Err(AuthError::Expired);
        }
        if claims.nbf.is_some_and(|from| now + SKEW < from) {
            return Err(AuthError::Wrong);
        }
        let expires_at = Timestamp((claims.exp + SKEW).saturating_mul(1_000_000));
        Ok(Foreign { subject: claims.sub, email: claims.email, expires_at })
    }

    /// What a token says, when a key of the issuer's signed it and its header is right. Times, issuer and audience are the caller's to judge.
    ///
    /// # Errors
    /// [`AuthError::Wrong`], [`AuthError::Unavailable`].
    pub(crate) async fn signed<T: DeserializeOwned>(
        &self,
        token: &str,
        is_right: impl Fn(&Header) -> bool,
    ) -> Result<T, AuthError> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| AuthError::Wrong)?;
        if !is_right(&header) {
            return Err(AuthError::Wrong);
        }
        let read = |key: &DecodingKey, algorithm: Algorithm| {
            let mut validation = Validation::new(algorithm);
            validation.validate_exp = false;
            validation.validate_aud = false;
            validation.required_spec_claims.clear();
            jsonwebtoken::decode::<T>(token, key, &validation).ok().map(|data| data.claims)
        };
        match &self.issuer.keys {
            IssuerKeys::Shared(secret) => {
                let key = DecodingKey::from_secret(secret.expose().as_bytes());
                (header.alg == Algorithm::HS256)
                    .then(|| read(&key, header.alg))
                    .flatten()
                    .ok_or(AuthError::Wrong)
            }
            IssuerKeys::At(url) => {
                if !is_public_key(header.alg) {
                    return Err(AuthError::Wrong);
                }
                let by = |set: &JwkSet| {
                    let of_token = set.keys.iter().filter(|jwk| may_have_signed(jwk, &header));
                    of_token
                        .filter_map(|jwk| DecodingKey::from_jwk(jwk).ok())
                        .find_map(|key| read(&key, header.alg))
                };
                let known = self.keys.load_full();
                let is_fresh = known.as_ref().is_some_and(|known| known.at.elapsed() < STALE);
                if let Some(claims) = known.as_ref().filter(|_| is_fresh).and_then(|known| by(&known.set)) {
                    return Ok(claims);
                }
                match self.fetched(url).await {
                    Some(fetched) => by(&fetched.set).ok_or(AuthError::Wrong),
                    // An issuer that is away for a while is no reason to turn its people away.
                    None => known
                        .as_ref()
                        .map_or(Err(AuthError::Unavailable), |known| by(&known.set).ok_or(AuthError::Wrong)),
                }
            }
        }
    }

    /// The keys as they are now, fetched by one at a time and not too often.
    async fn fetched(&self, url: &str) -> Option<Arc<Fetched>> {
        let mut tried = self.trying.lock().await;
        if tried.is_some_and(|last| last.elapsed() < AGAIN) {
            return self.keys.load_full();
        }
        *tried = Some(Instant::now());
        // The operator named it, so it may be anywhere.
        let result = async {
            let fetcher = Fetcher::new(Reach::Everywhere).map_err(|error| error.to_string())?;
            let sent = fetcher.send(Method::GET, url, HeaderMap::new(), Bytes::new(), MAX_KEYS).await;
            let answer = sent.map_err(|error| error.to_string())?;
            if answer.status != StatusCode::OK {
                return Err(format!("it answered {}", answer.status));
            }
            serde_json::from_slice::<JwkSet>(&answer.body).map_err(|error| error.to_string())
        };
        match result.await {
            Ok(set) => {
                let fetched = Arc::new(Fetched { set, at: Instant::now() });
                self.keys.store(Some(Arc::clone(&fetched)));
                Some(fetched)
            }
            Err(why) => {
                tracing::warn!(
                    issuer = self.issuer.issuer,
                    url,
                    why,
                    "the keys of an issuer cannot be fetched"
                );
                None
            }
        }
    }
}

fn is_public_key(algorithm: Algorithm) -> bool {
    !matches!(algorithm, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512)
}

/// Whether a key is of the token's name, kind and use.
fn may_have_signed(jwk: &Jwk, header: &Header) -> bool {
    let is_named = header.kid.is_none() || jwk.common.key_id == header.kid;
    let is_for_signatures = matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature));
    let is_its_algorithm = jwk.common.key_algorithm.is_none_or(|of| of == KeyAlgorithm::from(header.alg));
    let is_its_family = DecodingKey::from_jwk(jwk).is_ok_and(|key| key.family() == header.alg.family());
    is_named && is_for_signatures && is_its_algorithm && is_its_family
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::EncodingKey;
    use serde_json::{Value, json};

    const NOW: Timestamp = Timestamp(1_800_000_000_000_000);
    const SECRET: &str = "super-secret-jwt-token-with-at-least-32-characters";

    fn supabase() -> Issuers {
        Issuers::new(vec![Issuer::supabase("https://abc.supabase.co/", Some(Secret::new(SECRET)))])
    }

    fn claims() -> Value {
        json!({
            "iss": "https://abc.supabase.co/auth/v1", "sub": "5f0c", "aud": "authenticated", "role": "authenticated",
            "email": "ada@example.com", "exp": 1_800_000_600, "iat": 1_800_000_000, "session_id": "x",
        })
    }

    fn signed(algorithm: Algorithm, claims: &Value, secret: &str) -> String {
        jsonwebtoken::encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret.as_bytes()))
            .unwrap()
    }

    #[tokio::test]
    async fn the_users_of_a_supabase_project() {
        let issuers = supabase();
        let check = async |what: &str, token: String, expected: Result<&str, AuthError>| {
            let issuer = issuer_of(&token).unwrap_or_default();
            let found = match issuers.get(&issuer) {
                Some(known) => known.verify(&token, NOW).await,
                None => Err(AuthError::Wrong),
            };
            assert_eq!(found.map(|who| who.subject), expected.map(str::to_owned), "{what}");
        };
        let with = |name: &str, value: Value| {
            let mut all = claims();
            all[name] = value;
            signed(Algorithm::HS256, &all, SECRET)
        };
        check("good", signed(Algorithm::HS256, &claims(), SECRET), Ok("5f0c")).await;
        check("one of several audiences", with("aud", json!(["x", "authenticated"])), Ok("5f0c")).await;
        for (what, token) in [
            ("another secret", signed(Algorithm::HS256, &claims(), "another")),
            ("another algorithm", signed(Algorithm::HS512, &claims(), SECRET)),
            ("another project", with("iss", json!("https://other.supabase.co/auth/v1"))),
            ("another audience", with("aud", json!("anon"))),
            ("nobody signed in", with("role", json!("anon"))),
            ("the project's own key", with("role", json!("service_role"))),
            ("no role", with("role", Value::Null)),
            ("nobody", with("sub", json!(""))),
            ("a name that is none", with("sub", json!("a\nb"))),
            ("not yet", with("nbf", json!(1_800_000_100))),
            ("no end", with("exp", Value::Null)),
            ("no JWT", "x".to_owned()),
        ] {
            check(what, token, Err(AuthError::Wrong)).await;
        }
        check("over", with("exp", json!(1_799_999_000)), Err(AuthError::Expired)).await;
        let parts = signed(Algorithm::HS256, &claims(), SECRET);
        let payload = parts.split('.').nth(1).unwrap();
        // {"alg":"none"}
        check("alg none", format!("eyJhbGciOiJub25lIn0.{payload}."), Err(AuthError::Wrong)).await;
    }
}
