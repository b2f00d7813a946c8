//! Invitations: one-time links into an account. Whoever opens one first is in.

use std::time::Duration;

use api::errors::ErrorCode;
use api::invitations::{CreateInvitationRequest, CreatedInvitation, Invitation};
use api::sessions::SignInMethod;
use api::users::Role;
use domain::ids::{InvitationId, UserId};
use domain::names::{AccountName, UserName};
use domain::secret::Secret;
use serde_json::json;
use store::invitations::InvitationRow;
use store::people::PersonRow;

use crate::app::audit::{self, Act};
use crate::app::{App, Outcome, Problem, members, sessions};
use crate::auth::browser::{self, Visit, Visitor};
use crate::auth::{Caller, passwords, token};
use crate::directory::now;

/// How long one is good, when nobody says another time.
const LIFETIME: Duration = Duration::from_hours(7 * 24);
/// The longest life, in seconds.
const MAX_LIFE: u64 = 30 * 24 * 3600;
/// The longest e-mail address, in bytes (RFC 5321 §4.5.3.1.3).
const MAX_EMAIL: usize = 254;

/// Makes an invitation, for an admin. Its link is in the answer and nowhere else.
///
/// # Errors
/// 403 above the caller's own role; 422 with field.
pub(crate) async fn create(
    app: &App,
    caller: &Caller,
    request: &CreateInvitationRequest,
) -> Outcome<CreatedInvitation> {
    caller.require(Role::Admin)?;
    members::may_give(caller, request.role)?;
    let life = match request.expires_in_seconds {
        None => LIFETIME,
        Some(seconds @ 1..=MAX_LIFE) => Duration::from_secs(seconds),
        Some(_) => {
            return Err(Problem::invalid(
                "expires_in_seconds",
                format!("an invitation is good for 1 to {MAX_LIFE} seconds"),
            ));
        }
    };
    let (at, link) = (now(), browser::generate()?);
    let row = InvitationRow {
        id: InvitationId::generate(),
        account: caller.account,
        role: request.role,
        name: request.name.clone().map(String::from),
        email: request.email.as_deref().map(email).transpose()?,
        created_by: Some(caller.user),
        created_at: at,
        expires_at: sessions::after(at, life),
    };
    let mut tx = app.store.begin().await?;
    store::invitations::insert(&mut tx, &row, &token::hash_text(link.expose())).await?;
    let detail = json!({ "role": row.role, "email": row.email, "expires_at": row.expires_at });
    audit::note(&mut tx, caller.account, caller.actor(), at, act("invitation.create", &row, detail)).await?;
    tx.commit().await?;
    let url = Secret::new(format!("{}/invite/{}", app.public().url(), link.expose()));
    Ok(CreatedInvitation { invitation: render(row, Some(caller.user_name.clone())), url })
}

/// The account's invitations that nobody has accepted, for an admin.
///
/// # Errors
/// 403.
pub(crate) async fn list(app: &App, caller: &Caller) -> Outcome<Vec<Invitation>> {
    caller.require(Role::Admin)?;
    let rows = store::invitations::list(&app.store, caller.account, now()).await?;
    let members = store::members::list(&app.store, caller.account).await?;
    let name = |user: Option<UserId>| {
        let member = members.iter().find(|member| Some(member.user) == user);
        member.map(|member| member.name.clone())
    };
    Ok(rows
        .into_iter()
        .map(|row| {
            let by = name(row.created_by);
            render(row, by)
        })
        .collect())
}

/// Takes an invitation back, for an admin.
///
/// # Errors
/// 403; 404 for one that is not there, not the account's, or no good any more.
pub(crate) async fn revoke(app: &App, caller: &Caller, id: &str) -> Outcome<()> {
    caller.require(Role::Admin)?;
    let unknown = || {
        Problem::not_found("invitation", id).hint("`berth invite list` shows those there are, with their ids")
    };
    let id: InvitationId = id.parse().map_err(|_| unknown())?;
    let at = now();
    let mut tx = app.store.begin().await?;
    let row = store::invitations::revoke(&mut tx, caller.account, id, at).await;
    let row = row.map_err(|error| match error {
        store::StoreError::NotFound { .. } => unknown(),
        other => other.into(),
    })?;
    let act = act("invitation.revoke", &row, json!({}));
    audit::note(&mut tx, caller.account, caller.actor(), at, act).await?;
    tx.commit().await?;
    Ok(())
}

/// An invitation as whoever has its link sees it.
#[derive(Debug)]
pub(crate) struct Offer {
    row: InvitationRow,
    /// The account that it leads into.
    pub(crate) account_name: AccountName,
    /// Name of who made it.
    pub(crate) by: String,
}

impl Offer {
    /// What one may do there.
    pub(crate) fn role(&self) -> Role {
        self.row.role
    }

    /// The name that is proposed.
    pub(crate) fn name(&self) -> &str {
        self.row.name.as_deref().unwrap_or_default()
    }

    /// Whom it was made for.
    pub(crate) fn email(&self) -> &str {
        self.row.email.as_deref().unwrap_or_default()
    }
}

/// What a link leads to. It is not used up by looking.
///
/// # Errors
/// 410 for one that is no good.
pub(crate) async fn look(app: &App, link: &str) -> Outcome<Offer> {
    let row = store::invitations::look(&app.store, &token::hash_text(link), now()).await?;
    offer(app, row.ok_or_else(no_good)?).await
}

/// An invitation is as good as who made it is still: whoever may not give that role any more has given none.
async fn offer(app: &App, row: InvitationRow) -> Outcome<Offer> {
    let by = row.created_by.ok_or_else(no_good)?;
    let role = store::accounts::role_of(&app.store, row.account, by).await?;
    if role.is_none_or(|role| role < Role::Admin || role < row.role) {
        return Err(no_good());
    }
    let account = store::accounts::account_by_id(&app.store, row.account).await?.ok_or_else(no_good)?;
    let person = store::people::by_id(&app.store, by).await?.ok_or_else(no_good)?;
    Ok(Offer { row, account_name: account.name, by: person.name })
}

/// Lets somebody who is signed in join.
///
/// # Errors
/// 409 for who is in the account; 410.
pub(crate) async fn join(app: &App, link: &str, visitor: &Visitor) -> Outcome<AccountName> {
    let offer = look(app, link).await?;
    let mut tx = app.store.begin().await?;
    accept(&mut tx, &offer, visitor.user, &visitor.user_name).await?;
    tx.commit().await?;
    app.callers_changed().await?;
    Ok(offer.account_name)
}

/// Makes a user of somebody who has none, lets them join, and signs them in; the new session's cookie.
///
/// # Errors
/// 409 for a name or an address that is taken; 410; 422 with field.
pub(crate) async fn join_as_new(
    app: &App,
    link: &str,
    (name, address, password): (&str, &str, &Secret),
    visit: &Visit,
) -> Outcome<Secret> {
    let offer = look(app, link).await?;
    let name: UserName = name.trim().parse().map_err(|error| Problem::invalid("name", error))?;
    let address = Some(address.trim()).filter(|address| !address.is_empty()).map(email).transpose()?;
    let names = [Some(name.as_str()), address.as_deref()];
    passwords::check(password, &names.into_iter().flatten().collect::<Vec<_>>())?;
    let hash = app.browsers.passwords.hash(password).await?;
    let person = PersonRow {
        id: UserId::generate(),
        name: name.into(),
        email: address,
        password_hash: Some(hash),
        is_operator: false,
        created_at: now(),
    };
    let mut tx = app.store.begin().await?;
    store::people::insert(&mut tx, &person).await?;
    accept(&mut tx, &offer, person.id, &person.name).await?;
    let who = (person.id, person.name.as_str());
    let cookie = sessions::begin(&mut tx, who, SignInMethod::Invitation, visit).await?;
    tx.commit().await?;
    app.callers_changed().await?;
    Ok(cookie)
}

/// Uses an invitation for a user.
///
/// # Errors
/// 409 for who is in the account; 410 when somebody was first.
pub(crate) async fn accept(tx: &mut store::Tx, offer: &Offer, user: UserId, user_name: &str) -> Outcome<()> {
    let (row, at) = (&offer.row, now());
    if !store::invitations::accept(tx, row.id, user, at).await? {
        return Err(no_good());
    }
    if !store::members::join(tx, row.account, user, row.role, at).await? {
        // Nothing is committed, so the link is as good as before.
        let message = format!("you are in the account `{}` already", offer.account_name);
        return Err(Problem::refused(ErrorCode::Conflict, message)
            .hint("the link is still good for somebody else; an admin changes your role"));
    }
    let detail = json!({ "invitation": row.id, "role": row.role });
    let act = Act { action: "member.join", kind: "user", id: user.to_string(), name: user_name, detail };
    audit::note(tx, row.account, format!("user:{user}"), at, act).await
}

/// The invitations for an e-mail address that somebody vouches for.
///
/// # Errors
/// What the store says.
pub(crate) async fn for_email(app: &App, address: &str) -> Outcome<Vec<Offer>> {
    let rows = store::invitations::of_email(&app.store, &address.to_lowercase(), now()).await?;
    let mut offers = Vec::new();
    for row in rows {
        match offer(app, row).await {
            Ok(offer) => offers.push(offer),
            Err(Problem::Refused(_)) => {}
            Err(failed) => return Err(failed),
        }
    }
    Ok(offers)
}

/// An e-mail address as the tables have it.
///
/// # Errors
/// 422 with the field `email`.
pub(crate) fn email(text: &str) -> Outcome<String> {
    let (user, host) = text.split_once('@').unwrap_or_default();
    let is_plain =
        text.chars().all(|c| !c.is_whitespace() && !c.is_control() && !matches!(c, '<' | '>' | ','));
    if !is_plain || user.is_empty() || host.is_empty() || host.contains('@') || MAX_EMAIL < text.len() {
        return Err(Problem::invalid("email", "write an e-mail address such as `me@example.com`"));
    }
    Ok(text.to_lowercase())
}

fn act<'a>(action: &'a str, row: &'a InvitationRow, detail: serde_json::Value) -> Act<'a> {
    let name = row.name.as_deref().or(row.email.as_deref()).unwrap_or_default();
    Act { action, kind: "invitation", id: row.id.to_string(), name, detail }
}

fn no_good() -> Problem {
    Problem::refused(ErrorCode::Gone, "this invitation was used or taken back already, or came too late")
        .hint("ask whoever sent it for another one")
}

fn render(row: InvitationRow, created_by: Option<String>) -> Invitation {
    Invitation {
        id: row.id,
        role: row.role,
        name: row.name,
        email: row.email,
        created_by,
        created_at: row.created_at,
        expires_at: row.expires_at,
    }
}
