//! The token endpoint, and what becomes of tokens afterwards (OAuth 2.1 §3.2, RFC 7009, RFC 7662).

use std::sync::Arc;

use domain::ids::{AccountId, GrantId, UserId};
use domain::scopes::Scopes;
use domain::secret::{self, Secret};
use domain::time::Timestamp;
use oauth::errors::{Code, Refused};
use oauth::parameters::Parameters;
use oauth::pkce;
use serde::Serialize;
use serde_json::{Value, json};
use store::Tx;
use store::oauth::grants::GrantRow;
use store::oauth::tokens::{RefreshRow, Used};
use uuid::Uuid;

use crate::app::App;
use crate::app::audit::{self, Act};
use crate::app::oauth::clients::{Client, Proof};
use crate::app::oauth::{Failure, Resource, assertions, authorize, devices, expected, written};
use crate::auth::access::{Claims, LIFE};
use crate::auth::token;
use crate::directory::now;

/// How long a refresh token is good when it is not used, in seconds.
const REFRESH_LIFE: i64 = 60 * 24 * 3600;

/// The answer (OAuth 2.1 §3.2.3).
#[derive(Serialize)]
pub(crate) struct Given {
    access_token: String,
    token_type: &'static str,
    expires_in: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    scope: String,
}

fn no_grant(words: &str) -> Failure {
    Failure::new(Code::InvalidGrant, words)
}

/// Gives tokens. `issuer` is the address that the client came by.
///
/// # Errors
/// As the grant type says.
pub(crate) async fn give(
    app: &Arc<App>,
    issuer: &str,
    client: &Client,
    given: &Parameters,
) -> Result<Given, Failure> {
    match given.required("grant_type")? {
        "authorization_code" => by_code(app, client, given).await,
        "refresh_token" => by_refresh(app, client, given).await,
        "client_credentials" => by_credentials(app, client, given).await,
        assertions::GRANT_TYPE => by_assertion(app, issuer, client, given).await,
        devices::GRANT_TYPE => devices::redeem(app, client, given).await,
        _ => Err(Failure::new(
            Code::UnsupportedGrantType,
            "`grant_type` is none of those in this server's metadata",
        )),
    }
}

/// Compares what a client says of the resource with what its grant is for (RFC 8707 §2.2).
fn check_resource(app: &App, given: &Parameters, audience: &str) -> Result<(), Refused> {
    match given.one("resource")? {
        Some(text) if Resource::parse(app, text)?.audience(app) != audience => {
            Err(Refused::new(Code::InvalidTarget, "`resource` is not the one that was allowed"))
        }
        _ => Ok(()),
    }
}

async fn by_code(app: &Arc<App>, client: &Client, given: &Parameters) -> Result<Given, Failure> {
    let (code, at) = (given.required("code")?, now());
    let verifier = given.required("code_verifier")?;
    let redirect_uri = given.one("redirect_uri")?;
    let mut tx = app.store.begin().await?;
    let row = match store::oauth::tokens::use_code(&mut tx, &token::hash_text(code), at).await? {
        Used::First(row) => row,
        Used::Again(row) => {
            revoke_in(&mut tx, row.grant, at, "its authorization code was used twice").await?;
            tx.commit().await?;
            app.callers_changed().await?;
            return Err(no_grant("this authorization code was used before: what it gave is revoked"));
        }
        Used::Unknown => return Err(no_grant("this is no authorization code, or no longer")),
    };
    let grant = store::oauth::grants::in_change(&mut tx, row.grant).await?;
    let grant = grant.filter(|grant| grant.revoked_at.is_none());
    let checked = (|| {
        let grant = grant.ok_or_else(|| no_grant("what was allowed is revoked"))?;
        if row.expires_at <= at {
            return Err(no_grant("this authorization code came too late"));
        }
        if grant.client_id != client.id {
            return Err(no_grant("this authorization code is another client's"));
        }
        // OAuth 2.1 dropped it from the request; older clients send it, and then it must be the same.
        if redirect_uri.is_some_and(|uri| uri != row.redirect_uri) {
            return Err(no_grant("`redirect_uri` is not the one that the code was sent to"));
        }
        let is_it = pkce::is_verifier(verifier)
            && secret::same(pkce::challenge(verifier).as_bytes(), row.challenge.as_bytes());
        if !is_it {
            return Err(no_grant("`code_verifier` does not belong to the code's challenge"));
        }
        check_resource(app, given, &row.resource)?;
        Ok(grant)
    })();
    match checked {
        Ok(grant) => {
            let given = make(app, &mut tx, client, &grant, &row.resource, &grant.scopes, at).await?;
            tx.commit().await?;
            expected::watch(app, grant.id, &client.name, &row.resource);
            Ok(given)
        }
        // Whoever showed it and is not whom it was for has it from elsewhere: it is used up.
        Err(refused) => {
            tx.commit().await?;
            Err(refused)
        }
    }
}

async fn by_refresh(app: &App, client: &Client, given: &Parameters) -> Result<Given, Failure> {
    let (shown, at) = (given.required("refresh_token")?, now());
    let mut tx = app.store.begin().await?;
    let row = match store::oauth::tokens::use_refresh(&mut tx, &token::hash_text(shown), at).await? {
        Used::First(row) => row,
        // Either the client or somebody else has an older copy, and nobody knows which (OAuth 2.1 §4.3.1).
        Used::Again(row) => {
            revoke_in(&mut tx, row.grant, at, "its refresh token was used twice").await?;
            tx.commit().await?;
            app.callers_changed().await?;
            return Err(no_grant(
                "this refresh token was used before: what it gave is revoked, sign in again",
            ));
        }
        Used::Unknown => return Err(no_grant("this is no refresh token, or no longer: sign in again")),
    };
    let grant = store::oauth::grants::in_change(&mut tx, row.grant).await?;
    let Some(grant) = grant.filter(|grant| grant.revoked_at.is_none()) else {
        return Err(no_grant("what was allowed is revoked: sign in again"));
    };
    if grant.client_id != client.id {
        // Nothing was committed, so it stays good for the client that it belongs to.
        return Err(no_grant("this refresh token is another client's"));
    }
    if row.expires_at <= at {
        return Err(no_grant("this refresh token has expired: sign in again"));
    }
    check_resource(app, given, &row.resource)?;
    let scopes = match given.one("scope")? {
        None => grant.scopes.clone(),
        Some(text) => narrowed(&grant.scopes, text)?,
    };
    let given = make(app, &mut tx, client, &grant, &row.resource, &scopes, at).await?;
    tx.commit().await?;
    Ok(given)
}

/// Fewer scopes than were allowed; more is refused (RFC 6749 §6).
fn narrowed(allowed: &Scopes, text: &str) -> Result<Scopes, Refused> {
    let invalid = || Refused::new(Code::InvalidScope, "`scope` has something that was not allowed");
    let asked = text.split(' ').filter(|text| !text.is_empty() && *text != "offline_access").map(str::parse);
    let asked = asked.collect::<Result<Vec<_>, _>>().map_err(|_| invalid())?;
    if asked.is_empty() {
        return Ok(allowed.clone());
    }
    let asked = Scopes::try_from(asked).map_err(|_| invalid())?;
    if allowed.lacking(&asked).is_some() { Err(invalid()) } else { Ok(asked) }
}

/// A token for a client itself, as the person who registered it.
async fn by_credentials(app: &App, client: &Client, given: &Parameters) -> Result<Given, Failure> {
    let Some((account, user)) = client.owner.filter(|_| client.proof() != Proof::None) else {
        let words = "`client_credentials` is for clients that were registered with `berth client create`";
        return Err(Failure::new(Code::UnauthorizedClient, words));
    };
    let resource = Resource::parse(app, given.required("resource")?)?;
    let scope = given.one("scope")?.unwrap_or_default();
    let offer = authorize::offer(app, user, &resource, scope)?;
    if offer.account != account {
        return Err(Failure::new(Code::InvalidTarget, "`resource` is in another account than this client"));
    }
    let at = now();
    // One grant for each resource, so that a client that comes every hour does not fill the list.
    let instance = match &resource {
        Resource::Api => None,
        Resource::Server { instance, .. } => Some(instance),
    };
    let known = store::oauth::grants::list(&app.store, account, Some(user)).await?;
    let known = known.into_iter().find(|grant| {
        grant.client_id == client.id
            && grant.revoked_at.is_none()
            && grant.instance.as_ref() == instance
            && grant.scopes == offer.scopes
            && grant.sent_to.is_empty()
    });
    let mut tx = app.store.begin().await?;
    let grant = match &known {
        Some(grant) => grant.id,
        None => authorize::insert(&mut tx, user, client, "", &offer, at).await?,
    };
    store::oauth::grants::touch(&mut tx, grant, at).await?;
    store::oauth::clients::touch(&mut tx, &client.id, at).await?;
    tx.commit().await?;
    let whose = Whose { account, user, grant };
    let access = access(app, &whose, client, &resource.audience(app), &offer.scopes, at)?;
    Ok(answer(&access, None, &offer.scopes))
}

/// A token for a person for whom their identity provider vouches; the next one takes another word of it.
async fn by_assertion(
    app: &App,
    issuer: &str,
    client: &Client,
    given: &Parameters,
) -> Result<Given, Failure> {
    let vouched = assertions::of_provider(app, issuer, client, given.required("assertion")?).await?;
    // What the client asks for narrows what the provider allows.
    let scope = given.one("scope")?.unwrap_or(&vouched.scope);
    let mut offer = authorize::offer(app, vouched.user, &vouched.resource, &vouched.scope)?;
    if let Some(more) = offer.scopes.lacking(&vouched.resource.scopes(scope)) {
        return Err(Failure::new(Code::InvalidScope, format!("the assertion does not allow `{more}`")));
    }
    offer.scopes = vouched.resource.scopes(scope);
    let at = now();
    let mut tx = app.store.begin().await?;
    let grant = authorize::insert(&mut tx, vouched.user, client, "its identity provider", &offer, at).await?;
    store::oauth::grants::touch(&mut tx, grant, at).await?;
    store::oauth::clients::touch(&mut tx, &client.id, at).await?;
    tx.commit().await?;
    let whose = Whose { account: offer.account, user: vouched.user, grant };
    let access = access(app, &whose, client, &offer.resource.audience(app), &offer.scopes, at)?;
    Ok(answer(&access, None, &offer.scopes))
}

struct Whose {
    account: AccountId,
    user: UserId,
    grant: GrantId,
}

fn answer(access: &Secret, refresh: Option<&Secret>, scopes: &Scopes) -> Given {
    Given {
        access_token: access.expose().to_owned(),
        token_type: "Bearer",
        expires_in: LIFE,
        refresh_token: refresh.map(|refresh| refresh.expose().to_owned()),
        scope: written(scopes),
    }
}

fn access(
    app: &App,
    whose: &Whose,
    client: &Client,
    audience: &str,
    scopes: &Scopes,
    at: Timestamp,
) -> Result<Secret, Failure> {
    let seconds = at.0 / 1_000_000;
    let tokens = app.directory.access();
    let claims = Claims {
        iss: tokens.issuer().to_owned(),
        sub: whose.user,
        aud: audience.to_owned(),
        client_id: client.id.clone(),
        scope: written(scopes),
        iat: seconds,
        exp: seconds + LIFE,
        jti: Uuid::now_v7(),
        account: whose.account,
        grant: whose.grant,
    };
    Ok(tokens.sign(&claims)?)
}

/// Makes the tokens of a grant.
///
/// # Errors
/// What the store says, or that nothing can be signed.
pub(crate) async fn make(
    app: &App,
    tx: &mut Tx,
    client: &Client,
    grant: &GrantRow,
    audience: &str,
    scopes: &Scopes,
    at: Timestamp,
) -> Result<Given, Failure> {
    let whose = Whose { account: grant.account, user: grant.user, grant: grant.id };
    let access = access(app, &whose, client, audience, scopes, at)?;
    let refresh = client.refreshes().then(token::generate).transpose()?;
    if let Some(refresh) = &refresh {
        let row = RefreshRow {
            grant: grant.id,
            resource: audience.to_owned(),
            expires_at: Timestamp(at.0.saturating_add(REFRESH_LIFE * 1_000_000)),
        };
        store::oauth::tokens::insert_refresh(tx, &row, &token::hash_text(refresh.expose()), at).await?;
    }
    store::oauth::grants::touch(tx, grant.id, at).await?;
    store::oauth::clients::touch(tx, &client.id, at).await?;
    Ok(answer(&access, refresh.as_ref(), scopes))
}

async fn revoke_in(tx: &mut Tx, grant: GrantId, at: Timestamp, why: &str) -> Result<(), Failure> {
    let row = store::oauth::grants::revoke(tx, grant, at, why).await?;
    let (name, detail) = (row.client_name.as_str(), json!({ "why": why }));
    let act = Act { action: "grant.revoke", kind: "grant", id: row.id.to_string(), name, detail };
    audit::note(tx, row.account, "system:oauth".to_owned(), at, act).await?;
    tracing::warn!(grant = %row.id, client = %row.client_id, why, "what a client was allowed is revoked");
    Ok(())
}

/// The grant of a token, whichever kind it is; `None` for one that is not good.
async fn grant_of(app: &App, shown: &str) -> Result<Option<(GrantRow, Option<Claims>)>, Failure> {
    if let Ok(claims) = app.directory.access().verify(shown, now()) {
        let grant = store::oauth::grants::by_id(&app.store, claims.grant).await?;
        return Ok(grant.map(|grant| (grant, Some(claims))));
    }
    let mut tx = app.store.begin().await?;
    let row = store::oauth::tokens::find_refresh(&mut tx, &token::hash_text(shown)).await?;
    drop(tx);
    let Some(row) = row.filter(|row| now() < row.expires_at) else { return Ok(None) };
    let grant = store::oauth::grants::by_id(&app.store, row.grant).await?;
    Ok(grant.map(|grant| (grant, None)))
}

/// Ends what a token was made of (RFC 7009 §2.1: "the authorization server SHOULD also invalidate all access tokens based on the
/// same authorization grant"). A token that is none, or another client's, is no error: it tells nothing.
///
/// # Errors
/// What the store says.
pub(crate) async fn revoke(app: &App, client: &Client, shown: &str) -> Result<(), Failure> {
    let Some((grant, _)) = grant_of(app, shown).await? else { return Ok(()) };
    if grant.client_id != client.id || grant.revoked_at.is_some() {
        return Ok(());
    }
    let mut tx = app.store.begin().await?;
    revoke_in(&mut tx, grant.id, now(), "its client gave it back").await?;
    tx.commit().await?;
    Ok(app.callers_changed().await?)
}

/// What a token says, for the client that it belongs to (RFC 7662 §2.2); of others it says that they are not active.
///
/// # Errors
/// What the store says.
pub(crate) async fn introspect(app: &App, client: &Client, shown: &str) -> Result<Value, Failure> {
    if client.proof() == Proof::None {
        return Err(Failure::new(Code::InvalidClient, "a client that looks into tokens proves who it is"));
    }
    let inactive = json!({ "active": false });
    let Some((grant, claims)) = grant_of(app, shown).await? else { return Ok(inactive) };
    let is_member = app.directory.picture().member(grant.account, grant.user).is_some();
    if grant.client_id != client.id || grant.revoked_at.is_some() || !is_member {
        return Ok(inactive);
    }
    let mut answer = json!({
        "active": true,
        "client_id": grant.client_id,
        "sub": grant.user,
        "scope": written(&grant.scopes),
        "iss": app.directory.access().issuer(),
        "token_type": if claims.is_some() { "Bearer" } else { "refresh_token" },
    });
    if let Some(claims) = claims {
        answer["scope"] = claims.scope.into();
        answer["aud"] = claims.aud.into();
        answer["iat"] = claims.iat.into();
        answer["exp"] = claims.exp.into();
        answer["jti"] = claims.jti.to_string().into();
    }
    Ok(answer)
}
