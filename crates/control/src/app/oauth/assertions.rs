//! JWTs by which clients prove who they are (RFC 7523 §3, `private_key_jwt`), and by which an identity provider vouches for a person.

use domain::ids::UserId;
use domain::time::Timestamp;
use gateway::AuthError;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use oauth::errors::{Code, Refused};
use serde::Deserialize;

use crate::app::App;
use crate::app::oauth::clients::Client;
use crate::app::oauth::{Failure, Resource, discovery};
use crate::auth::issuers::{self, Audience};
use crate::auth::token;
use crate::directory::now;

/// The grant type of a word of an identity provider (RFC 7523 §2.1).
pub(crate) const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// The longest life of an assertion, in seconds.
const MAX_LIFE: i64 = 600;
/// How far clocks may differ, in seconds.
const SKEW: i64 = 30;

/// What it says.
#[derive(Debug, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    exp: i64,
    #[serde(default)]
    nbf: Option<i64>,
    jti: String,
}

/// What an identity provider says of one of its users to us, for one client and one resource (Identity Assertion JWT Authorization
/// Grant, "ID-JAG").
#[derive(Debug, Deserialize)]
struct Identity {
    iss: String,
    sub: String,
    aud: Audience,
    client_id: String,
    exp: i64,
    iat: i64,
    jti: String,
    #[serde(default)]
    email: Option<String>,
    resource: String,
    #[serde(default)]
    scope: Option<String>,
}

/// The type of such a JWT, so that no other one of the provider's is taken for it.
const ID_JAG: &str = "oauth-id-jag+jwt";

/// What a provider's word is good for.
pub(crate) struct Vouched {
    /// Whom it is about.
    pub(crate) user: UserId,
    /// For what.
    pub(crate) resource: Resource,
    /// The scopes, as the provider wrote them.
    pub(crate) scope: String,
}

/// Judges an ID-JAG that a client shows; each is good once.
///
/// # Errors
/// [`Code::InvalidGrant`], [`Code::InvalidTarget`].
pub(crate) async fn of_provider(
    app: &App,
    issuer: &str,
    client: &Client,
    assertion: &str,
) -> Result<Vouched, Failure> {
    let refuse = |words: &str| Failure::new(Code::InvalidGrant, format!("`assertion`: {words}"));
    let named = issuers::issuer_of(assertion).ok_or_else(|| refuse("it is no JWT with `iss`"))?;
    let known = app.directory.issuers().get(&named);
    let known = known.ok_or_else(|| refuse("its issuer is none of those whose tokens are taken here"))?;
    let read = known.signed::<Identity>(assertion, |header| header.typ.as_deref() == Some(ID_JAG)).await;
    let claims = read.map_err(|error| match error {
        AuthError::Unavailable => {
            Failure::new(Code::TemporarilyUnavailable, "the keys of the assertion's issuer cannot be had")
        }
        _ => refuse("the issuer did not sign it, or it is of another type than `oauth-id-jag+jwt`"),
    })?;
    let at = now();
    let seconds = at.0 / 1_000_000;
    if claims.iss != named || !claims.aud.is_for(&[issuer, app.directory.access().issuer()]) {
        return Err(refuse("`aud` is not this authorization server"));
    }
    if claims.client_id != client.id {
        return Err(refuse("it is for another client"));
    }
    if claims.exp + SKEW <= seconds || seconds + SKEW < claims.iat {
        return Err(refuse("it has expired, or is not good yet"));
    }
    if claims.iat + MAX_LIFE + SKEW < claims.exp {
        return Err(refuse("it is good for longer than ten minutes"));
    }
    let resource = Resource::parse(app, &claims.resource)?;
    let until = Timestamp(claims.exp.saturating_add(SKEW).saturating_mul(1_000_000));
    let mut tx = app.store.begin().await?;
    let id = token::hash_text(&format!("{} {}", claims.iss, claims.jti));
    let is_first = store::oauth::use_once(&mut tx, &id, until).await?;
    tx.commit().await?;
    if !is_first {
        return Err(refuse("it was used before"));
    }
    let who = issuers::Foreign { subject: claims.sub, email: claims.email, expires_at: until };
    let found = crate::app::foreign::find_or_make(&app.store, &known.issuer, &who, at).await?;
    let user = found.ok_or_else(|| refuse("whom it is about is in no account here"))?.member.user;
    if app.directory.picture().accounts_of(user).is_empty() {
        // Somebody who came for the first time.
        app.directory.refresh().await?;
    }
    Ok(Vouched { user, resource, scope: claims.scope.unwrap_or_default() })
}

fn invalid(words: impl Into<String>) -> Refused {
    Refused::new(Code::InvalidClient, format!("`client_assertion`: {}", words.into()))
}

/// The algorithms that are allowed, of those that a key can be used with.
fn algorithms() -> Vec<Algorithm> {
    vec![Algorithm::ES256, Algorithm::RS256, Algorithm::PS256, Algorithm::EdDSA]
}

/// Whom an assertion names; nothing of it is proven.
///
/// # Errors
/// [`Code::InvalidClient`].
pub(crate) fn subject(assertion: &str) -> Result<String, Refused> {
    jsonwebtoken::dangerous::insecure_decode::<Claims>(assertion)
        .map(|data| data.claims.sub)
        .map_err(|_| invalid("it is no JWT with `iss`, `sub`, `aud`, `exp` and `jti`"))
}

/// Judges an assertion of a client; each is good once.
///
/// # Errors
/// [`Code::InvalidClient`].
pub(crate) async fn of_client(
    app: &App,
    issuer: &str,
    client: &Client,
    assertion: &str,
) -> Result<(), Failure> {
    let keys = keys(app, client).await?;
    let claims = verified(&keys, assertion)?;
    let token_endpoint = format!("{issuer}{}", discovery::TOKEN);
    let at = now();
    let seconds = at.0 / 1_000_000;
    if claims.iss != client.id || claims.sub != client.id {
        return Err(invalid("`iss` and `sub` are not the client's id").into());
    }
    if !claims.aud.is_for(&[issuer, &token_endpoint]) {
        return Err(invalid(format!("`aud` is not `{issuer}`")).into());
    }
    if claims.exp + SKEW <= seconds {
        return Err(invalid("it has expired").into());
    }
    if seconds + MAX_LIFE + SKEW < claims.exp {
        return Err(invalid(format!("it is good for longer than {MAX_LIFE} s")).into());
    }
    if claims.nbf.is_some_and(|from| seconds + SKEW < from) {
        return Err(invalid("it is not good yet").into());
    }
    let until = Timestamp(claims.exp.saturating_add(SKEW).saturating_mul(1_000_000));
    let mut tx = app.store.begin().await?;
    let id = token::hash_text(&format!("{} {}", client.id, claims.jti));
    let is_first = store::oauth::use_once(&mut tx, &id, until).await?;
    tx.commit().await?;
    if is_first { Ok(()) } else { Err(invalid("it was used before").into()) }
}

/// The public keys of a client.
async fn keys(app: &App, client: &Client) -> Result<JwkSet, Refused> {
    if let Some(keys) = &client.metadata.jwks {
        return serde_json::from_value(keys.clone()).map_err(|_| invalid("the client's `jwks` hold no keys"));
    }
    let uri = client.metadata.jwks_uri.as_deref().ok_or_else(|| invalid("the client has no keys"))?;
    let fetched = app.outside.json::<JwkSet>(uri).await;
    fetched.map(|(keys, _)| keys).map_err(|error| invalid(format!("the client's `jwks_uri`: {error}")))
}

/// What an assertion says, when one of the keys signed it. The algorithm must be one of the key's own kind, so that no header
/// chooses how a key is used (RFC 8725 §3.1).
fn verified(keys: &JwkSet, assertion: &str) -> Result<Claims, Refused> {
    let header =
        jsonwebtoken::decode_header(assertion).map_err(|_| invalid("it is no JWT that is signed"))?;
    if !algorithms().contains(&header.alg) {
        let all = discovery::ASSERTION_ALGORITHMS.join(", ");
        return Err(invalid(format!("it is signed with another algorithm than {all}")));
    }
    let mut validation = Validation::new(header.alg);
    validation.validate_exp = false;
    validation.validate_aud = false;
    let named = |key: &&jsonwebtoken::jwk::Jwk| header.kid.is_none() || key.common.key_id == header.kid;
    for jwk in keys.keys.iter().filter(named) {
        let Ok(key) = DecodingKey::from_jwk(jwk) else { continue };
        if key.family() != header.alg.family() {
            continue;
        }
        if let Ok(data) = jsonwebtoken::decode::<Claims>(assertion, &key, &validation) {
            return Ok(data.claims);
        }
    }
    Err(invalid("none of the client's keys signed it"))
}
