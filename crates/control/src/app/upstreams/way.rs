//! The way of a person to an authorization server and back.
//!
//! They leave with a state that nobody else knows, of which only the hash is kept, and which is taken once. It is bound to the instance and
//! to whoever asked for it: they must still be an admin when it comes back, and nobody else may be signed in with the browser. Where nobody is,
//! the person is asked whether they mean it: otherwise an admin could have somebody else open their address, and get at what is theirs.

use std::time::{Duration, SystemTime};

use api::errors::ErrorCode;
use api::upstreams::{AuthorizationStarted, AuthorizeRequest, UpstreamClient};
use api::users::Role;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::ids::UserId;
use domain::secret::Secret;
use domain::status::InstanceStatus;
use http::header::AUTHORIZATION;
use oauth::challenge::Challenge;
use oauth::client::Refusal;
use oauth::client::discovery::Begin;
use oauth::client::exchange::Pending;
use oauth::client::identity::Identity;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::instances::InstanceRow;
use store::upstreams::OnTheWayRow;

use super::kept::Kept;
use super::{is_each_callers, later, profile, require, server_of, whose};
use crate::app::audit::{self, Act};
use crate::app::{App, Outcome, Problem, instances};
use crate::auth::{Caller, token};
use crate::directory::now;
use crate::secrets::{MasterKey, SecretsError, random};

/// How long a person may take.
const ON_THE_WAY: Duration = Duration::from_mins(15);
/// Finding out where they have to decide takes no longer, whatever the servers do.
const DISCOVERY: Duration = Duration::from_secs(45);
/// The longest text of a client that is given by hand.
const MAX_TEXT: usize = 2048;

/// What is kept, sealed, while they are away.
#[derive(Debug, Serialize, Deserialize)]
struct Away {
    server: String,
    user_name: String,
    pending: Pending,
}

impl Away {
    fn seal(&self, keys: &MasterKey, row: &InstanceRow) -> Result<String, SecretsError> {
        let text = Secret::new(serde_json::to_string(self).map_err(|_| SecretsError::Sealed)?);
        keys.seal(row.id.0, text.expose())
    }

    fn open(keys: &MasterKey, row: &OnTheWayRow) -> Result<Self, SecretsError> {
        let text = keys.unseal(row.instance.0, &row.sealed)?;
        serde_json::from_str(text.expose()).map_err(|_| SecretsError::Sealed)
    }
}

/// Finds out where a person has to decide.
///
/// # Errors
/// 403, 404, 422; 502 when the server or its authorization server cannot be worked with, with the step that failed.
pub(crate) async fn authorize(
    app: &App,
    caller: &Caller,
    name: &str,
    request: &AuthorizeRequest,
) -> Outcome<AuthorizationStarted> {
    let row = instances::find(app, caller, name).await?;
    require(&row, caller)?;
    let (server, of) = (server_of(&row)?.to_owned(), whose(&row, caller.user));
    if row
        .secret_names
        .iter()
        .chain(row.settings.keys())
        .any(|name| name.eq_ignore_ascii_case(AUTHORIZATION.as_str()))
    {
        return Err(Problem::refused(
            ErrorCode::Conflict,
            format!("`{name}` has the header `Authorization`, which is shown instead"),
        )
        .hint("deploy it anew without that header"));
    }
    let present = store::upstreams::get(&app.store, of).await?;
    let mut kept = Kept::open(&app.keys, of, &server, &present)?;
    if let Some(client) = &request.client {
        kept.add(&given(client)?);
    }
    let begin = Begin {
        server: server.clone(),
        challenge: Challenge::parse(present.challenge.iter().map(String::as_str)).unwrap_or_default(),
        profile: Some(profile(app)),
        identities: kept.identities.clone(),
        before: kept.grant.as_ref().map(|grant| (grant.identity.issuer.clone(), grant.scopes.clone())),
        now: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs(),
        state: word()?,
        verifier: word()?,
    };
    let discovering = fetch::client::discover(app.upstreams.fetcher().await?, begin);
    let visit = match tokio::time::timeout(DISCOVERY, discovering).await {
        Ok(found) => found.map_err(|refusal| refused(&refusal))?,
        Err(_) => return Err(Problem::refused(ErrorCode::BadGateway, "the servers take too long to answer")),
    };
    let (at, pending) = (now(), visit.pending);
    kept.add(&pending.identity);
    let started = AuthorizationStarted {
        url: visit.url,
        issuer: pending.identity.issuer.clone(),
        scopes: pending.scopes.clone(),
        expires_at: later(at, ON_THE_WAY),
    };
    let hash = token::hash_text(pending.state.expose());
    let away = Away { server, user_name: caller.user_name.clone(), pending };
    let on_the_way = OnTheWayRow {
        instance: row.id,
        account: caller.account,
        user: caller.user,
        sealed: away.seal(&app.keys, &row)?,
        created_at: at,
        expires_at: started.expires_at,
    };
    let mut tx = app.store.begin().await?;
    store::upstreams::keep(&mut tx, of, &kept.seal(&app.keys, row.id)?, at).await?;
    store::upstreams::begin(&mut tx, &hash, &on_the_way).await?;
    let detail = json!({ "issuer": started.issuer, "scopes": started.scopes });
    note(&mut tx, "instance.authorize_begin", caller.actor(), &row, at, detail).await?;
    tx.commit().await?;
    Ok(started)
}

fn given(client: &UpstreamClient) -> Outcome<Identity> {
    let check = |field: &str, text: &str| {
        let is_good = !text.is_empty()
            && text.len() <= MAX_TEXT
            && text.bytes().all(|byte| (b' '..0x7f).contains(&byte));
        let message = format!("it has 1 to {MAX_TEXT} printable characters");
        if is_good { Ok(()) } else { Err(Problem::invalid(format!("client.{field}"), message)) }
    };
    check("issuer", &client.issuer)?;
    check("client_id", &client.client_id)?;
    if let Some(secret) = &client.client_secret {
        check("client_secret", secret.expose())?;
    }
    if !client.issuer.starts_with("https://") && !client.issuer.starts_with("http://") {
        return Err(Problem::invalid("client.issuer", "an issuer begins with `https://`"));
    }
    Ok(Identity::given(&client.issuer, &client.client_id, client.client_secret.clone()))
}

fn refused(refusal: &Refusal) -> Problem {
    Problem::refused(ErrorCode::BadGateway, refusal)
}

/// 32 random bytes: a state that nobody guesses, and a verifier of PKCE (RFC 7636 §4.1).
fn word() -> Result<Secret, SecretsError> {
    Ok(Secret::new(URL_SAFE_NO_PAD.encode(random::<32>()?)))
}

/// Who comes back, before anything is done.
#[derive(Debug)]
pub(crate) struct Back {
    /// The instance's name.
    pub(crate) instance: String,
    /// Its account's.
    pub(crate) account: String,
    /// Whose authorization it is.
    pub(crate) issuer: String,
    /// Who asked for it.
    pub(crate) user_name: String,
    /// They are signed in with the browser that comes back.
    pub(crate) is_theirs: bool,
    /// The answer says that there will be nothing.
    pub(crate) is_refusal: bool,
}

fn unknown() -> Problem {
    Problem::refused(ErrorCode::Gone, "nobody is on the way here: this was used already, or took too long")
        .hint("begin again with `berth authorize NAME`")
}

/// What the answer is known by.
fn state_of(query: &str) -> Outcome<String> {
    let mut states = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "state");
    match (states.next(), states.next()) {
        (Some((_, state)), None) if !state.is_empty() => Ok(token::hash_text(&state)),
        _ => Err(Problem::refused(
            ErrorCode::BadRequest,
            "this address is where authorization servers send people back to",
        )),
    }
}

/// Who is on the way under a hash, and what is kept for them.
///
/// # Errors
/// 403 when somebody else is signed in; 410.
async fn on_the_way(app: &App, hash: &str, visitor: Option<UserId>) -> Outcome<(OnTheWayRow, Away)> {
    let row = store::upstreams::on_the_way(&app.store, hash).await?;
    let row = row.filter(|row| now() < row.expires_at).ok_or_else(unknown)?;
    let away = Away::open(&app.keys, &row)?;
    if visitor.is_some_and(|visitor| visitor != row.user) {
        let message = format!("{} asked for this, and you are somebody else", away.user_name);
        return Err(Problem::refused(ErrorCode::Forbidden, message)
            .hint("begin yourself with `berth authorize NAME`, or sign out first when that is you"));
    }
    Ok((row, away))
}

/// Who comes back with this answer, in a browser in which `visitor` is signed in, if anybody. Nothing is changed.
///
/// # Errors
/// 400, 403, 410.
pub(crate) async fn back(app: &App, query: &str, visitor: Option<UserId>) -> Outcome<Back> {
    let (row, away) = on_the_way(app, &state_of(query)?, visitor).await?;
    let instance = store::instances::by_id(&app.store, row.instance).await?.ok_or_else(unknown)?;
    let account = store::accounts::account_by_id(&app.store, row.account).await?.ok_or_else(unknown)?;
    Ok(Back {
        instance: instance.name.as_str().to_owned(),
        account: account.name.as_str().to_owned(),
        issuer: away.pending.identity.issuer,
        user_name: away.user_name,
        is_theirs: visitor.is_some(),
        is_refusal: form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "error"),
    })
}

/// Takes the answer, changes it for a token and keeps that; an instance that failed for want of it is tried again. Gives the instance's
/// name.
///
/// # Errors
/// 400; 403 when whoever asked is no admin any more, or somebody else is signed in; 410; 502 with the step that failed.
pub(crate) async fn finish(app: &App, query: &str, visitor: Option<UserId>) -> Outcome<String> {
    let hash = state_of(query)?;
    on_the_way(app, &hash, visitor).await?;
    let mut tx = app.store.begin().await?;
    let way = store::upstreams::take(&mut tx, &hash).await?;
    // Whatever becomes of it: it is used.
    tx.commit().await?;
    let way = way.filter(|way| now() < way.expires_at).ok_or_else(unknown)?;
    let away = Away::open(&app.keys, &way)?;
    let row = store::instances::by_id(&app.store, way.instance).await?;
    let row = row.filter(|row| row.account == way.account && !row.deleting).ok_or_else(unknown)?;
    let server = server_of(&row)?;
    if away.server != server {
        return Err(Problem::refused(
            ErrorCode::Conflict,
            format!("`{}` has another server since", row.name),
        ));
    }
    let role = store::accounts::role_of(&app.store, way.account, way.user).await?;
    let least = if is_each_callers(&row) { Role::Viewer } else { Role::Admin };
    if role.is_none_or(|role| role < least) {
        return Err(Problem::refused(
            ErrorCode::Forbidden,
            "whoever asked for this may not any more: they are no longer in the account, or no admin of it",
        ));
    }
    let grant = fetch::client::redeem(app.upstreams.fetcher().await?, &away.pending, query).await;
    let grant = grant.map_err(|refusal| {
        tracing::warn!(instance = %row.id, why = %refusal, "nobody was authorized at a server elsewhere");
        refused(&refusal)
    })?;
    let (issuer, scopes) = (grant.identity.issuer.clone(), grant.granted.clone());
    let at = now();
    let of = whose(&row, way.user);
    let present = store::upstreams::get(&app.store, of).await?;
    let kept = Kept::open(&app.keys, of, server, &present)?.with(grant);
    let mut tx = app.store.begin().await?;
    store::upstreams::put(&mut tx, of, &kept.seal(&app.keys, row.id)?, (Some(at), kept.ends(at)), at).await?;
    let detail = json!({ "issuer": issuer, "scopes": scopes });
    note(&mut tx, "instance.authorize", format!("user:{}", way.user), &row, at, detail).await?;
    // One caller's is no reason to start it again for all.
    let failed = of.user.is_none()
        && matches!(row.status, InstanceStatus::ErrorInstall | InstanceStatus::ErrorRuntime);
    let row = if failed {
        // What waits for its next try would wait for minutes.
        store::instances::ask_restart(&mut tx, row.account, &row.name, InstanceStatus::Starting, at).await?
    } else {
        row
    };
    tx.commit().await?;
    app.changed(std::slice::from_ref(&row)).await?;
    Ok(row.name.as_str().to_owned())
}

async fn note(
    tx: &mut store::Tx,
    action: &str,
    actor: String,
    row: &InstanceRow,
    at: domain::time::Timestamp,
    detail: serde_json::Value,
) -> Outcome<()> {
    let act = Act { action, kind: "instance", id: row.id.to_string(), name: row.name.as_str(), detail };
    audit::note(tx, row.account, actor, at, act).await?;
    Ok(())
}
