//! Who is in an account. Nobody gives or takes a role above their own, and one owner always stays.

use api::errors::ErrorCode;
use api::members::{ChangeMemberRequest, Member};
use api::users::Role;
use domain::scopes::Scope;
use serde_json::json;
use store::members::MemberRow;

use crate::app::audit::{self, Act};
use crate::app::{App, Outcome, Problem};
use crate::auth::Caller;
use crate::directory::now;

/// Everybody in the caller's account; e-mail addresses only for an admin.
///
/// # Errors
/// What the store says.
pub(crate) async fn list(app: &App, caller: &Caller) -> Outcome<Vec<Member>> {
    let rows = store::members::list(&app.store, caller.account).await?;
    Ok(rows.into_iter().map(|row| render(row, caller)).collect())
}

/// Changes what a member may do, for an admin. It counts at once, for tokens that they have too.
///
/// # Errors
/// 403 above the caller's own role; 404; 409 for the last owner.
pub(crate) async fn change(
    app: &App,
    caller: &Caller,
    name: &str,
    request: &ChangeMemberRequest,
) -> Outcome<Member> {
    caller.require(Role::Admin)?;
    may_give(caller, request.role)?;
    let mut member = find(app, caller, name).await?;
    let at = now();
    let mut tx = app.store.begin().await?;
    let role = store::members::lock(&mut tx, caller.account, member.user).await?;
    may_touch(caller, role)?;
    if role == Role::Owner && request.role != Role::Owner {
        let others = store::members::has_other_owner(&mut tx, caller.account, member.user).await?;
        others.then_some(()).ok_or_else(last_owner)?;
    }
    store::accounts::add_member(&mut tx, caller.account, member.user, request.role, at).await?;
    let detail = json!({ "from": role, "to": request.role });
    let act = Act { action: "member.role", kind: "user", id: member.user.to_string(), name, detail };
    audit::note(&mut tx, caller.account, caller.actor(), at, act).await?;
    tx.commit().await?;
    app.callers_changed().await?;
    member.role = request.role;
    Ok(render(member, caller))
}

/// Ends a membership, for an admin, or one's own. Its API tokens open nothing any more.
///
/// # Errors
/// 403 above the caller's own role; 404; 409 for the last owner.
pub(crate) async fn remove(app: &App, caller: &Caller, name: &str) -> Outcome<()> {
    caller.require_scope(&Scope::Admin)?;
    if name != caller.user_name {
        caller.require(Role::Admin)?;
    }
    let member = find(app, caller, name).await?;
    let at = now();
    let mut tx = app.store.begin().await?;
    let role = store::members::lock(&mut tx, caller.account, member.user).await?;
    may_touch(caller, role)?;
    if role == Role::Owner {
        let others = store::members::has_other_owner(&mut tx, caller.account, member.user).await?;
        others.then_some(()).ok_or_else(last_owner)?;
    }
    store::members::remove(&mut tx, caller.account, member.user).await?;
    let detail = json!({ "role": role });
    let act = Act { action: "member.remove", kind: "user", id: member.user.to_string(), name, detail };
    audit::note(&mut tx, caller.account, caller.actor(), at, act).await?;
    tx.commit().await?;
    app.callers_changed().await?;
    Ok(())
}

/// Refuses to give a role above the caller's own.
///
/// # Errors
/// 403 with the field `role`.
pub(crate) fn may_give(caller: &Caller, role: Role) -> Outcome<()> {
    if role <= caller.role {
        return Ok(());
    }
    Err(Problem::refused(ErrorCode::Forbidden, "nobody gives a role above their own")
        .field("role")
        .hint("ask an owner of the account"))
}

fn may_touch(caller: &Caller, role: Role) -> Outcome<()> {
    if role <= caller.role {
        return Ok(());
    }
    Err(Problem::refused(ErrorCode::Forbidden, "this member's role is above yours")
        .hint("ask an owner of the account"))
}

fn last_owner() -> Problem {
    Problem::refused(ErrorCode::Conflict, "an account has at least one owner, and this is the last one")
        .hint("make another member an owner first: `berth member role NAME owner`")
}

async fn find(app: &App, caller: &Caller, name: &str) -> Outcome<MemberRow> {
    let found = store::members::by_name(&app.store, caller.account, name).await?;
    found.ok_or_else(|| Problem::not_found("member", name).hint("`berth member list` shows who is in it"))
}

fn render(row: MemberRow, caller: &Caller) -> Member {
    Member {
        email: row.email.filter(|_| Role::Admin <= caller.role || row.user == caller.user),
        user: row.user,
        name: row.name,
        role: row.role,
        joined_at: row.joined_at,
    }
}
