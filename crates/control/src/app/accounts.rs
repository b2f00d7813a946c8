//! Accounts: those of a user, and making one.

use api::accounts::{Account, CreateAccountRequest};
use api::errors::ErrorCode;
use api::users::Role;
use domain::ids::AccountId;
use domain::names::AccountName;
use domain::scopes::Scope;
use serde_json::json;
use store::accounts::AccountRow;
use store::people::Membership;

use crate::app::audit::{self, Act};
use crate::app::{App, Outcome, Problem};
use crate::auth::Caller;
use crate::directory::now;

/// The accounts of the caller's user, by name; for who looks after the installation, all.
///
/// # Errors
/// What the store says.
pub(crate) async fn list(app: &App, caller: &Caller) -> Outcome<Vec<Account>> {
    let own = store::people::memberships(&app.store, caller.user).await?;
    let is_operator = is_operator(app, caller).await?;
    let all = store::accounts::list_accounts(&app.store).await?;
    let render = |row: AccountRow| {
        let role =
            own.iter().find(|membership| membership.account == row.id).map(|membership| membership.role);
        Account { id: row.id, name: row.name, role, created_at: row.created_at }
    };
    Ok(all.into_iter().map(render).filter(|account| is_operator || account.role.is_some()).collect())
}

/// Makes an account, whose owner the caller's user is.
///
/// # Errors
/// 403 for who does not look after the installation, and for a token that is for less; 409 for a name that is taken.
pub(crate) async fn create(app: &App, caller: &Caller, request: CreateAccountRequest) -> Outcome<Account> {
    caller.require_scope(&Scope::Admin)?;
    if !is_operator(app, caller).await? {
        let message = "accounts are made by who looks after the installation";
        return Err(Problem::refused(ErrorCode::Forbidden, message)
            .hint("that is its first user; another one invites you into an account: `berth invite create`"));
    }
    let at = now();
    let row = AccountRow { id: AccountId::generate(), name: request.name, created_at: at };
    let mut tx = app.store.begin().await?;
    store::accounts::insert(&mut tx, &row).await?;
    store::members::join(&mut tx, row.id, caller.user, Role::Owner, at).await?;
    let (id, name) = (row.id.to_string(), row.name.as_str());
    // It is told where it was done, too.
    for account in [caller.account, row.id] {
        let act = Act { action: "account.create", kind: "account", id: id.clone(), name, detail: json!({}) };
        audit::note(&mut tx, account, caller.actor(), at, act).await?;
    }
    tx.commit().await?;
    app.directory.refresh().await?;
    Ok(Account { id: row.id, name: row.name, role: Some(Role::Owner), created_at: at })
}

/// Another account of the caller's user, for a token of theirs there. Only a token that is for everything reaches further than its own.
///
/// # Errors
/// 403; 404 for an account that the user is not in, whether there is one or not.
pub(crate) async fn of_user(app: &App, caller: &Caller, name: &AccountName) -> Outcome<Membership> {
    if let Some(scopes) = &caller.scopes {
        let message = format!("this API token is for one account: its scopes are {scopes}");
        return Err(Problem::refused(ErrorCode::Forbidden, message)
            .field("account")
            .hint("a token without scopes makes one for another account of its user"));
    }
    let own = store::people::memberships(&app.store, caller.user).await?;
    own.into_iter().find(|membership| membership.account_name == *name).ok_or_else(|| {
        Problem::refused(ErrorCode::NotFound, format!("you are in no account `{name}`"))
            .field("account")
            .hint("`berth account list` shows yours")
    })
}

/// Refuses who does not look after the installation. `message` says what they may not.
///
/// # Errors
/// 403.
pub(crate) async fn require_operator(app: &App, caller: &Caller, message: &str) -> Outcome<()> {
    if is_operator(app, caller).await? {
        return Ok(());
    }
    Err(Problem::refused(ErrorCode::Forbidden, message).hint("that is its first user: ask them"))
}

async fn is_operator(app: &App, caller: &Caller) -> Outcome<bool> {
    let person = store::people::by_id(&app.store, caller.user).await?;
    Ok(person.is_some_and(|person| person.is_operator))
}
