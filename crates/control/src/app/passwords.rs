//! Passwords: everybody sets their own.

use std::time::{Duration, Instant};

use api::errors::ErrorCode;
use api::sessions::SignInMethod;
use api::users::SetPasswordRequest;
use domain::ids::{SessionId, UserId};
use domain::scopes::Scope;
use domain::secret::Secret;
use serde_json::json;
use store::StoreError;
use store::people::PersonRow;

use crate::app::{App, Outcome, Problem, sessions};
use crate::auth::browser::Visitor;
use crate::auth::{Caller, passwords};
use crate::directory::now;

/// For how long a session that began with a link may set a password without the present one: who has the link lost that.
const GRACE: Duration = Duration::from_mins(15);

/// Sets the caller's own password. Every browser has to sign in again.
///
/// # Errors
/// 403 for a token that is for less, and for a wrong present password; 422 with field; 429.
pub(crate) async fn set(app: &App, caller: &Caller, request: &SetPasswordRequest) -> Outcome<()> {
    caller.require_scope(&Scope::Admin)?;
    let person = person(app, caller.user).await?;
    confirm(app, &person, request.current.as_ref()).await?;
    replace(app, &person, &request.password, None).await
}

/// The same from a page: all other browsers have to sign in again.
///
/// # Errors
/// As [`set`].
pub(crate) async fn set_own(
    app: &App,
    visitor: &Visitor,
    current: Option<&Secret>,
    password: &Secret,
) -> Outcome<()> {
    let person = person(app, visitor.user).await?;
    if !is_free(app, visitor, &person).await? {
        confirm(app, &person, current).await?;
    }
    replace(app, &person, password, Some(visitor.session)).await
}

/// Whether a visitor may set a password without the present one: there is none, or a link vouched for them a moment ago.
///
/// # Errors
/// What the store says.
pub(crate) async fn may_set_freely(app: &App, visitor: &Visitor) -> Outcome<bool> {
    let person = person(app, visitor.user).await?;
    is_free(app, visitor, &person).await
}

async fn is_free(app: &App, visitor: &Visitor, person: &PersonRow) -> Outcome<bool> {
    if person.password_hash.is_none() {
        return Ok(true);
    }
    let sessions = store::sessions::list(&app.store, visitor.user).await?;
    let own = sessions.into_iter().find(|session| session.id == visitor.session);
    let now = now();
    Ok(own
        .is_some_and(|own| own.method == SignInMethod::Link && now < sessions::after(own.created_at, GRACE)))
}

async fn confirm(app: &App, person: &PersonRow, current: Option<&Secret>) -> Outcome<()> {
    let Some(hash) = &person.password_hash else { return Ok(()) };
    let Some(current) = current else {
        return Err(Problem::refused(ErrorCode::Forbidden, "the present password must be given too")
            .field("current")
            .hint("who lost it runs `berth recover` on Berth's own machine"));
    };
    // Whoever found a token, or an open browser, tries no more passwords than anybody else.
    let attempt = app.browsers.attempts.begin(None, &person.name, Instant::now()).map_err(|wait| {
        let message = format!("a wrong password was given too often; try again in {} s", wait.as_secs() + 1);
        Problem::refused(ErrorCode::TooMany, message).field("current")
    })?;
    if !app.browsers.passwords.is(current, Some(hash)).await? {
        return Err(Problem::refused(ErrorCode::Forbidden, "this is not the present password")
            .field("current")
            .hint("who lost it runs `berth recover` on Berth's own machine"));
    }
    app.browsers.attempts.succeeded(&attempt);
    Ok(())
}

async fn replace(app: &App, person: &PersonRow, password: &Secret, but: Option<SessionId>) -> Outcome<()> {
    let names = [Some(person.name.as_str()), person.email.as_deref()];
    passwords::check(password, &names.into_iter().flatten().collect::<Vec<_>>())?;
    let hash = app.browsers.passwords.hash(password).await?;
    let at = now();
    let mut tx = app.store.begin().await?;
    store::people::set_password(&mut tx, person.id, &hash).await?;
    let ended = store::sessions::end_others(&mut tx, person.id, but, at).await?;
    let detail = json!({ "sessions_ended": ended });
    sessions::note(&mut tx, person.id, &person.name, "user.password", detail, at).await?;
    tx.commit().await?;
    Ok(())
}

async fn person(app: &App, user: UserId) -> Outcome<PersonRow> {
    let found = store::people::by_id(&app.store, user).await?;
    Ok(found.ok_or(StoreError::NotFound { what: "user" })?)
}
