//! Tokens for servers that run elsewhere: kept here, sealed; renewed here; and handed to the host of an instance when its server asks
//! for one.

mod kept;
mod way;

use std::time::Duration;

use api::errors::ErrorCode;
use api::upstreams::{
    Authorization, AuthorizationState, CALLBACK_PATH, CLIENT_PATH, TokenOutcome, TokenReason,
    UpstreamTokenRequest,
};
use api::users::Role;
use domain::ids::UserId;
use domain::package::Package;
use domain::scopes::Scope;
use domain::time::Timestamp;
use fetch::{Fetcher, Reach};
use http::header::AUTHORIZATION;
use oauth::client::grant::{Grant, NotRefreshed};
use oauth::client::identity::Profile;
use oauth::registration::ClientMetadata;
use serde_json::json;
use store::environments::EnvironmentRow;
use store::instances::InstanceRow;
use store::upstreams::{Of, UpstreamRow};
use tokio::sync::OnceCell;

use self::kept::Kept;
pub(crate) use self::way::{Back, authorize, back, finish};
use crate::app::audit::{self, Act};
use crate::app::problem::Chain;
use crate::app::{App, Outcome, Problem, instances, own_values};
use crate::auth::Caller;
use crate::directory::now;

/// Who renews has so long; an authorization server has half a minute.
const CLAIM: Duration = Duration::from_secs(40);
/// Who finds that somebody else renews looks again so often, and so long.
const LOOK: Duration = Duration::from_millis(250);
const PATIENCE: Duration = Duration::from_secs(20);
/// A token that was given in the place of a refused one, and is refused so soon itself: another one would not help.
const FRESH: Duration = Duration::from_secs(5);
/// What is kept of what a server wanted.
const MOST_CHALLENGES: usize = 8;
const LONGEST_CHALLENGE: usize = 4096;

/// What requests to authorization servers go through.
#[derive(Debug)]
pub(crate) struct Upstreams {
    reach: Reach,
    fetcher: OnceCell<Fetcher>,
}

impl Upstreams {
    pub(crate) fn new(reach: Reach) -> Self {
        Self { reach, fetcher: OnceCell::new() }
    }

    async fn fetcher(&self) -> Outcome<&Fetcher> {
        self.fetcher.get_or_try_init(async || Fetcher::new(self.reach)).await.map_err(|error| {
            tracing::warn!(error = %Chain(&error), "authorization servers cannot be asked");
            Problem::refused(ErrorCode::Unavailable, "this control plane can ask no authorization server")
                .hint("its log says why; it may lack the system's certificates (`ca-certificates`)")
        })
    }
}

/// Who Berth is to authorization servers.
fn profile(app: &App) -> Profile {
    let public = app.public();
    // An address with a certificate of our own, or without any, is none that others read documents from.
    let is_readable = public.url.starts_with("https://") && public.pin.is_none();
    Profile {
        name: "Berth".to_owned(),
        page: is_readable.then(|| public.url.clone()),
        redirect_uri: format!("{}{CALLBACK_PATH}", public.url),
        document: is_readable.then(|| format!("{}{CLIENT_PATH}", public.url)),
    }
}

/// The document that says so.
///
/// # Errors
/// 404 where nobody could read it under its own address.
pub(crate) fn document(app: &App) -> Outcome<ClientMetadata> {
    let profile = profile(app);
    if profile.document.is_none() {
        return Err(Problem::refused(ErrorCode::NotFound, "this Berth has no public https:// address")
            .hint("give one with `--public-url`; until then Berth registers at each authorization server"));
    }
    Ok(profile.metadata())
}

/// The URL of an instance's server.
///
/// # Errors
/// 422 for one that does not run elsewhere.
fn server_of(row: &InstanceRow) -> Outcome<&str> {
    match &row.spec.package {
        Package::Remote { url } => Ok(url),
        _ => Err(Problem::invalid(
            "name",
            format!("`{}` does not run elsewhere, so nobody authorizes it", row.name),
        )
        .hint("what was deployed as `https://…` does")),
    }
}

/// Whether each caller authorizes Berth for themselves.
fn is_each_callers(row: &InstanceRow) -> bool {
    row.spec.launch.each_caller.values().any(|name| name.eq_ignore_ascii_case(AUTHORIZATION.as_str()))
}

/// Whose authorization it is that a user is about.
fn whose(row: &InstanceRow, user: UserId) -> Of {
    Of { instance: row.id, user: is_each_callers(row).then_some(user) }
}

/// Whose a shim asks for; `None` for nobody, where each caller has their own.
fn asked_for(row: &InstanceRow, request: &UpstreamTokenRequest) -> Option<Of> {
    if !is_each_callers(row) {
        return Some(row.id.into());
    }
    let user = own_values::user_of(request.wanted.principal.as_deref()?)?;
    Some(Of { instance: row.id, user: Some(user) })
}

/// What all callers share is an admin's affair, and what is one's own one's own.
fn require(row: &InstanceRow, caller: &Caller) -> Outcome<()> {
    if is_each_callers(row) { caller.require_scope(&Scope::Deploy) } else { caller.require(Role::Admin) }
}

/// Whether a caller has authorized Berth at the server of an instance, for themselves.
///
/// # Errors
/// What the store and the master key say; 422 for one that does not run elsewhere.
pub(crate) async fn has_own(app: &App, row: &InstanceRow, user: UserId) -> Outcome<bool> {
    if !is_each_callers(row) {
        return Ok(false);
    }
    let of = whose(row, user);
    let present = store::upstreams::get(&app.store, of).await?;
    Ok(Kept::open(&app.keys, of, server_of(row)?, &present)?.grant.is_some())
}

/// What a host's shim needs a token for. Why there is none is an answer too.
///
/// # Errors
/// 404 for an instance of another host.
pub(crate) async fn token(
    app: &App,
    environment: &EnvironmentRow,
    request: &UpstreamTokenRequest,
) -> Outcome<TokenOutcome> {
    let row = store::instances::by_id(&app.store, request.instance).await?;
    let row = row.filter(|row| row.environment == environment.id && !row.deleting).ok_or_else(|| {
        Problem::refused(
            ErrorCode::NotFound,
            format!("instance {} is not this environment's", request.instance),
        )
    })?;
    if request.wanted.reason == TokenReason::Values {
        return own_values::wanted(app, &row, &request.wanted).await;
    }
    let server = server_of(&row)?;
    let Some(of) = asked_for(&row, request) else {
        let why = format!("each caller of `{}` brings their own, and this is nobody who could", row.name);
        return Ok(TokenOutcome::None { why });
    };
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let present = store::upstreams::get(&app.store, of).await?;
        let kept = Kept::open(&app.keys, of, server, &present)?;
        let Some(grant) = &kept.grant else {
            return needed(app, &row, of, request, "nobody has authorized Berth there").await;
        };
        let wanted = &request.wanted;
        let is_newer = wanted.refused.is_none_or(|refused| refused < present.version);
        if is_newer && !is_over(&present) {
            return Ok(given(grant, &present));
        }
        match (wanted.reason, &kept.over) {
            (TokenReason::Scope, _) if !is_newer => {
                return needed(app, &row, of, request, "it wants rights that were not asked for before")
                    .await;
            }
            (_, Some(over)) => return needed(app, &row, of, request, over).await,
            (TokenReason::Refused, _) if !is_newer && kept.after_refusal && kept.is_fresh(FRESH) => {
                return needed(app, &row, of, request, "it refuses a token that was just given for it").await;
            }
            _ if grant.refresh.is_none() => {
                return needed(app, &row, of, request, "what was authorized is over").await;
            }
            _ => {}
        }
        if claim(app, of, present.version).await? {
            return renew(app, &row, of, request, &present, kept.clone(), grant).await;
        }
        // Somebody else is at it.
        if deadline <= tokio::time::Instant::now() {
            let why = "its token is being renewed, which takes long; try again".to_owned();
            return Ok(TokenOutcome::None { why });
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn is_over(present: &UpstreamRow) -> bool {
    present.expires_at.is_some_and(|at| at <= now())
}

fn given(grant: &Grant, present: &UpstreamRow) -> TokenOutcome {
    let left = |at: Timestamp| u64::try_from(at.micros_since(now()) / 1_000_000).unwrap_or_default();
    TokenOutcome::Token {
        token: grant.access.clone(),
        version: present.version,
        expires_in: present.expires_at.map(left),
    }
}

/// There is no token until a person has decided. What the server wanted is kept for them.
async fn needed(
    app: &App,
    row: &InstanceRow,
    of: Of,
    request: &UpstreamTokenRequest,
    why: &str,
) -> Outcome<TokenOutcome> {
    let why = format!("{why}: run `berth authorize {}`", row.name);
    // The server's own words, of any length.
    let challenge: Vec<String> = request
        .wanted
        .challenge
        .iter()
        .take(MOST_CHALLENGES)
        .filter(|text| text.len() <= LONGEST_CHALLENGE)
        .cloned()
        .collect();
    let mut tx = app.store.begin().await?;
    store::upstreams::note(&mut tx, of, &challenge, &why, now()).await?;
    tx.commit().await?;
    Ok(TokenOutcome::None { why })
}

async fn claim(app: &App, of: Of, version: u64) -> Outcome<bool> {
    let at = now();
    let mut tx = app.store.begin().await?;
    let claimed = store::upstreams::claim(&mut tx, of, version, at, later(at, CLAIM)).await?;
    tx.commit().await?;
    Ok(claimed)
}

/// Changes a token for the next one; this control plane has the claim.
async fn renew(
    app: &App,
    row: &InstanceRow,
    of: Of,
    request: &UpstreamTokenRequest,
    present: &UpstreamRow,
    kept: Kept,
    grant: &Grant,
) -> Outcome<TokenOutcome> {
    let refreshed = match app.upstreams.fetcher().await {
        Ok(fetcher) => fetch::client::refresh(fetcher, grant).await,
        Err(problem) => {
            release(app, of).await?;
            return Err(problem);
        }
    };
    let refusal = match refreshed {
        Ok(next) => {
            let after_refusal = request.wanted.reason == TokenReason::Refused;
            let next = Kept { after_refusal, ..kept.with(next) };
            let mut tx = app.store.begin().await?;
            let at = now();
            let expires_at = next.ends(at);
            let sealed = next.seal(&app.keys, row.id)?;
            let version = store::upstreams::put(&mut tx, of, &sealed, (None, expires_at), at).await?;
            tx.commit().await?;
            tracing::debug!(instance = %row.id, version, "a token for a server elsewhere was renewed");
            let present = UpstreamRow { version, expires_at, ..UpstreamRow::default() };
            return next.grant.map(|grant| given(&grant, &present)).ok_or_else(|| {
                Problem::refused(ErrorCode::Internal, "a token that was just kept is not there")
            });
        }
        Err(refusal) => refusal,
    };
    tracing::warn!(instance = %row.id, why = %refusal.refusal(), "a token for a server elsewhere cannot be renewed");
    match &refusal {
        NotRefreshed::Over(refusal) => {
            let why = refusal.to_string();
            let over = Kept { over: Some(why.clone()), ..kept };
            let mut tx = app.store.begin().await?;
            store::upstreams::keep(&mut tx, of, &over.seal(&app.keys, row.id)?, now()).await?;
            tx.commit().await?;
            needed(app, row, of, request, &why).await
        }
        NotRefreshed::Later(refusal) => {
            release(app, of).await?;
            if request.wanted.reason == TokenReason::Expiring && !is_over(present) {
                return Ok(given(grant, present));
            }
            Ok(TokenOutcome::None { why: format!("{refusal}; try again later") })
        }
    }
}

async fn release(app: &App, of: Of) -> Outcome<()> {
    let mut tx = app.store.begin().await?;
    store::upstreams::release(&mut tx, of).await?;
    Ok(tx.commit().await?)
}

fn later(at: Timestamp, time: Duration) -> Timestamp {
    Timestamp(at.0.saturating_add(i64::try_from(time.as_micros()).unwrap_or(i64::MAX)))
}

/// How the authorization of an instance stands.
///
/// # Errors
/// 404, 422.
pub(crate) async fn show(app: &App, caller: &Caller, name: &str) -> Outcome<Authorization> {
    let row = instances::find(app, caller, name).await?;
    let of = whose(&row, caller.user);
    let present = store::upstreams::get(&app.store, of).await?;
    let kept = Kept::open(&app.keys, of, server_of(&row)?, &present)?;
    let needs = present.message.is_some() || kept.over.is_some();
    let state = match &kept.grant {
        _ if needs => AuthorizationState::Needed,
        Some(grant) if grant.refresh.is_none() && is_over(&present) => AuthorizationState::Needed,
        Some(_) => AuthorizationState::Authorized,
        None => AuthorizationState::None,
    };
    Ok(Authorization {
        state,
        issuer: kept.grant.as_ref().map(|grant| grant.identity.issuer.clone()),
        scopes: kept.grant.as_ref().map(|grant| grant.granted.clone()).unwrap_or_default(),
        authorized_at: present.authorized_at,
        expires_at: present.expires_at,
        is_renewable: kept.grant.is_some_and(|grant| grant.refresh.is_some()),
        message: present.message,
    })
}

/// Gives up what opens the server of an instance. Doing it again is no error.
///
/// # Errors
/// 403, 404, 422.
pub(crate) async fn forget(app: &App, caller: &Caller, name: &str) -> Outcome<()> {
    let row = instances::find(app, caller, name).await?;
    require(&row, caller)?;
    server_of(&row)?;
    let at = now();
    let mut tx = app.store.begin().await?;
    if store::upstreams::forget(&mut tx, whose(&row, caller.user), at).await? {
        let (id, name) = (row.id.to_string(), row.name.as_str());
        let act = Act { action: "instance.deauthorize", kind: "instance", id, name, detail: json!({}) };
        audit::note(&mut tx, caller.account, caller.actor(), at, act).await?;
    }
    Ok(tx.commit().await?)
}
