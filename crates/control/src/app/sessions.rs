//! Sessions of browsers: whose a cookie is, where one is signed in, and ending that.

use std::time::Duration;

use api::sessions::{Session, SignInMethod};
use domain::ids::{SessionId, UserId};
use domain::scopes::Scope;
use domain::secret::Secret;
use domain::time::Timestamp;
use serde_json::json;
use store::Tx;
use store::sessions::SessionRow;

use crate::app::audit::{self, Act};
use crate::app::environments::before;
use crate::app::problem::Chain;
use crate::app::{App, Outcome, Problem};
use crate::auth::browser::{self, Visit, Visitor, csrf_of, masked};
use crate::auth::{Caller, token};
use crate::directory::now;

/// A session that was not used for so long has ended.
const IDLE: Duration = Duration::from_hours(7 * 24);
/// However much it is used, it ends after that.
const LONGEST: Duration = Duration::from_hours(30 * 24);
/// A session's last use is noted at most this often, in microseconds.
const TOUCH_EVERY: i64 = 60_000_000;

/// Who a browser is signed in as.
///
/// # Errors
/// What the store says.
pub(crate) async fn visitor(app: &App, visit: &Visit) -> Outcome<Option<Visitor>> {
    let Some(cookie) = &visit.cookie else { return Ok(None) };
    let at = now();
    let found = store::sessions::by_hash(&app.store, &token::hash_text(cookie.expose())).await?;
    let Some(holder) = found.filter(|holder| is_good(&holder.session, at)) else {
        return Ok(None);
    };
    let session = holder.session;
    if TOUCH_EVERY < at.micros_since(session.last_seen_at) {
        note_use(app, session.id, at).await;
    }
    Ok(Some(Visitor {
        user: session.user,
        user_name: holder.user_name,
        session: session.id,
        csrf: masked(&csrf_of(cookie))?,
    }))
}

/// A database that can be read but not written still shows pages.
async fn note_use(app: &App, id: SessionId, at: Timestamp) {
    let note = async {
        let mut tx = app.store.begin().await?;
        store::sessions::touch(&mut tx, id, at).await?;
        tx.commit().await
    };
    if let Err(error) = note.await {
        tracing::warn!(error = %Chain(&error), "the use of a session could not be noted");
    }
}

fn is_good(session: &SessionRow, at: Timestamp) -> bool {
    session.ended_at.is_none() && at < end_of(session)
}

/// When a session ends, unless it is used before.
fn end_of(session: &SessionRow) -> Timestamp {
    after(session.last_seen_at, IDLE).min(session.expires_at)
}

/// So long after a moment.
pub(crate) fn after(at: Timestamp, time: Duration) -> Timestamp {
    Timestamp(at.0.saturating_add(i64::try_from(time.as_micros()).unwrap_or(i64::MAX)))
}

/// Begins a session for a browser, always with a new cookie: one that was planted is worth nothing. The session that the browser had before
/// ends.
///
/// # Errors
/// What the store says.
pub(crate) async fn begin(
    tx: &mut Tx,
    (user, user_name): (UserId, &str),
    method: SignInMethod,
    visit: &Visit,
) -> Outcome<Secret> {
    let (cookie, at) = (browser::generate()?, now());
    if let Some(before) = &visit.cookie {
        store::sessions::end_by_hash(tx, &token::hash_text(before.expose()), at).await?;
    }
    store::sessions::prune(tx, before(at, LONGEST)).await?;
    let row = SessionRow {
        id: SessionId::generate(),
        user,
        method,
        user_agent: visit.user_agent.clone(),
        address: visit.address.map(|address| address.to_string()),
        created_at: at,
        last_seen_at: at,
        expires_at: after(at, LONGEST),
        ended_at: None,
    };
    store::sessions::insert(tx, &row, &token::hash_text(cookie.expose())).await?;
    let detail = json!({ "method": method, "session": row.id, "address": row.address });
    note(tx, user, user_name, "user.sign_in", detail, at).await?;
    Ok(cookie)
}

/// Writes a line about a user to the audit of each account that they are in.
///
/// # Errors
/// What the store says.
pub(crate) async fn note(
    tx: &mut Tx,
    user: UserId,
    user_name: &str,
    action: &str,
    detail: serde_json::Value,
    at: Timestamp,
) -> Outcome<()> {
    for account in store::people::accounts_of(tx, user).await? {
        let act = Act { action, kind: "user", id: user.to_string(), name: user_name, detail: detail.clone() };
        audit::note(tx, account, format!("user:{user}"), at, act).await?;
    }
    Ok(())
}

/// Where a user is signed in, the last used first.
///
/// # Errors
/// What the store says.
pub(crate) async fn of(app: &App, user: UserId) -> Outcome<Vec<Session>> {
    let at = now();
    let rows = store::sessions::list(&app.store, user).await?;
    Ok(rows.into_iter().filter(|row| is_good(row, at)).map(render).collect())
}

/// Where the caller is signed in.
///
/// # Errors
/// 403 for a token that is for less.
pub(crate) async fn list(app: &App, caller: &Caller) -> Outcome<Vec<Session>> {
    caller.require_scope(&Scope::Admin)?;
    of(app, caller.user).await
}

/// Ends one of a user's sessions: its browser has to sign in again.
///
/// # Errors
/// 404 for one that is not there, or not the user's.
pub(crate) async fn end(app: &App, (user, user_name): (UserId, &str), id: &str) -> Outcome<()> {
    let unknown = || {
        Problem::not_found("session", id).hint("`berth session list` shows those there are, with their ids")
    };
    let id: SessionId = id.parse().map_err(|_| unknown())?;
    let at = now();
    let mut tx = app.store.begin().await?;
    store::sessions::end(&mut tx, user, id, at).await.map_err(|error| match error {
        store::StoreError::NotFound { .. } => unknown(),
        other => other.into(),
    })?;
    note(&mut tx, user, user_name, "user.sign_out", json!({ "session": id }), at).await?;
    tx.commit().await?;
    Ok(())
}

fn render(row: SessionRow) -> Session {
    let expires_at = end_of(&row);
    Session {
        id: row.id,
        method: row.method,
        user_agent: row.user_agent,
        address: row.address,
        created_at: row.created_at,
        last_seen_at: row.last_seen_at,
        expires_at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds since it began and since it was used; whether it goes on.
    #[test]
    fn a_session_ends_when_it_is_not_used_and_after_thirty_days_however_much_it_is() {
        let day = 24 * 3600;
        let check = |began: i64, used: i64, ended: bool, good: bool| {
            let at = Timestamp(1_800_000_000_000_000);
            let ago = |seconds: i64| Timestamp(at.0 - seconds * 1_000_000);
            let row = SessionRow {
                id: SessionId::generate(),
                user: UserId::generate(),
                method: SignInMethod::Password,
                user_agent: None,
                address: None,
                created_at: ago(began),
                last_seen_at: ago(used),
                expires_at: after(ago(began), LONGEST),
                ended_at: ended.then_some(ago(0)),
            };
            assert_eq!(is_good(&row, at), good, "{began} {used} {ended}");
        };
        check(0, 0, false, true);
        check(0, 0, true, false);
        check(7 * day - 1, 7 * day - 1, false, true);
        check(7 * day, 7 * day, false, false);
        check(30 * day - 1, 60, false, true);
        check(30 * day, 60, false, false);
    }
}
