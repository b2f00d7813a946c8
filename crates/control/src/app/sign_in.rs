//! Signing in: with a password, and with a one-time link.

use std::time::{Duration, Instant};

use api::errors::ErrorCode;
use api::sessions::SignInMethod;
use domain::ids::{SignInLinkId, UserId};
use domain::secret::Secret;
use domain::time::Timestamp;
use store::Tx;
use store::people::PersonRow;

use crate::app::{App, Outcome, Problem, sessions};
use crate::auth::browser::{self, Visit};
use crate::auth::token;
use crate::directory::now;

/// How long a one-time link is good.
pub(crate) const LINK_LIFETIME: Duration = Duration::from_mins(15);
/// The longest text that is looked up as a name.
const LONGEST_NAME: usize = 320;

/// Why nobody was signed in.
#[derive(Debug)]
pub(crate) enum SignInError {
    /// There is nobody of that name, or the password is another. Which of both is not said.
    Wrong,
    /// It failed too often; after that time it may be tried again.
    TooOften(Duration),
    /// Something else.
    Failed(Problem),
}

impl<T: Into<Problem>> From<T> for SignInError {
    fn from(problem: T) -> Self {
        Self::Failed(problem.into())
    }
}

/// Signs somebody in whose name or e-mail address, and password, these are; the new session's cookie.
///
/// An unknown name costs the same work as a wrong password, and is answered the same.
///
/// # Errors
/// Any [`SignInError`].
pub(crate) async fn with_password(
    app: &App,
    login: &str,
    password: &Secret,
    visit: &Visit,
) -> Result<Secret, SignInError> {
    let login = login.trim();
    let attempt =
        app.browsers.attempts.begin(visit.address, login, Instant::now()).map_err(SignInError::TooOften)?;
    let person = match find(app, login).await {
        Ok(person) => person,
        Err(problem) => {
            app.browsers.attempts.undone(&attempt);
            return Err(problem.into());
        }
    };
    let hash = person.as_ref().and_then(|person| person.password_hash.as_ref());
    let is_right = app.browsers.passwords.is(password, hash).await.inspect_err(|_| {
        app.browsers.attempts.undone(&attempt);
    })?;
    let Some(person) = person.filter(|_| is_right) else {
        // People type passwords into the wrong field, so what was typed is told nobody.
        tracing::warn!(from = visit.address.map(tracing::field::display), "a sign-in was refused");
        return Err(SignInError::Wrong);
    };
    app.browsers.attempts.succeeded(&attempt);
    let mut tx = app.store.begin().await?;
    let who = (person.id, person.name.as_str());
    let cookie = sessions::begin(&mut tx, who, SignInMethod::Password, visit).await?;
    tx.commit().await?;
    Ok(cookie)
}

/// Names have no `@`, addresses have one.
async fn find(app: &App, login: &str) -> Outcome<Option<PersonRow>> {
    if LONGEST_NAME < login.len() || login.contains('\0') {
        return Ok(None);
    }
    Ok(if login.contains('@') {
        store::people::by_email(&app.store, &login.to_lowercase()).await?
    } else {
        store::people::by_name(&app.store, login).await?
    })
}

/// Makes a one-time link's token, and until when it is good.
///
/// # Errors
/// What the store says.
pub(crate) async fn issue_link(tx: &mut Tx, user: UserId) -> Outcome<(Secret, Timestamp)> {
    let (link, at) = (browser::generate()?, now());
    let expires_at = sessions::after(at, LINK_LIFETIME);
    let hash = token::hash_text(link.expose());
    store::sign_in_links::insert(tx, SignInLinkId::generate(), user, &hash, at, expires_at).await?;
    Ok((link, expires_at))
}

/// The path of a one-time link.
pub(crate) fn link_path(link: &Secret) -> Secret {
    Secret::new(format!("/sign-in/link/{}", link.expose()))
}

/// The name of whom a link would sign in. It is not used up by looking: whoever shows a link in a message looks at it too.
///
/// # Errors
/// 410 for one that is no good.
pub(crate) async fn look_at_link(app: &App, link: &str) -> Outcome<String> {
    Ok(of_link(app, link).await?.name)
}

async fn of_link(app: &App, link: &str) -> Outcome<PersonRow> {
    let user = store::sign_in_links::look(&app.store, &token::hash_text(link), now()).await?;
    let person = store::people::by_id(&app.store, user.ok_or_else(no_good)?).await?;
    person.ok_or_else(no_good)
}

/// Signs somebody in with a link, once; the new session's cookie.
///
/// # Errors
/// 410 for one that is no good.
pub(crate) async fn with_link(app: &App, link: &str, visit: &Visit) -> Outcome<Secret> {
    let person = of_link(app, link).await?;
    let mut tx = app.store.begin().await?;
    // Of two at once one is the first.
    store::sign_in_links::redeem(&mut tx, &token::hash_text(link), now()).await?.ok_or_else(no_good)?;
    let who = (person.id, person.name.as_str());
    let cookie = sessions::begin(&mut tx, who, SignInMethod::Link, visit).await?;
    tx.commit().await?;
    Ok(cookie)
}

fn no_good() -> Problem {
    Problem::refused(ErrorCode::Gone, "this link was used already, or came too late, or is none")
        .hint("`berth recover` on Berth's own machine makes another one; it is good for 15 minutes and for one time")
}
