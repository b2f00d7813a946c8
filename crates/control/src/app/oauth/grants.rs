//! What people allowed clients: everybody sees and revokes their own, admins those of all.

use api::oauth::Grant;
use api::users::Role;
use domain::ids::GrantId;
use domain::scopes::Scope;
use serde_json::json;
use store::oauth::grants::GrantRow;

use crate::app::audit::{self, Act};
use crate::app::{App, Outcome, Problem};
use crate::auth::Caller;
use crate::directory::now;

/// The caller's grants; for an admin, everybody's of the account. Those that no token was ever made of are not shown.
pub(crate) async fn list(app: &App, caller: &Caller) -> Outcome<Vec<Grant>> {
    let only = (caller.role < Role::Admin).then_some(caller.user);
    let rows = store::oauth::grants::list(&app.store, caller.account, only).await?;
    let picture = app.directory.picture();
    let render = |row: GrantRow| {
        let member = picture.member(row.account, row.user);
        Grant {
            id: row.id,
            user_name: member.map(|member| member.user_name.clone()).unwrap_or_default(),
            client_id: row.client_id,
            client_name: row.client_name,
            sent_to: row.sent_to,
            instance: row.instance,
            scopes: row.scopes,
            created_at: row.created_at,
            last_used_at: row.last_used_at,
            revoked_at: row.revoked_at,
            revoked_why: row.revoked_why,
        }
    };
    Ok(rows.into_iter().filter(|row| row.last_used_at.is_some()).map(render).collect())
}

/// Revokes a grant: its tokens are refused at once here, and within seconds by other control planes.
///
/// # Errors
/// 404 for one that is not there, or not the caller's.
pub(crate) async fn revoke(app: &App, caller: &Caller, id: &str) -> Outcome<()> {
    caller.require_scope(&Scope::Admin)?;
    let unknown =
        || Problem::not_found("grant", id).hint("`berth grant list` shows those there are, with their ids");
    let id: GrantId = id.parse().map_err(|_| unknown())?;
    let row = store::oauth::grants::by_id(&app.store, id).await?.ok_or_else(unknown)?;
    let is_theirs = row.account == caller.account && (row.user == caller.user || Role::Admin <= caller.role);
    if !is_theirs {
        return Err(unknown());
    }
    let at = now();
    let mut tx = app.store.begin().await?;
    let row = store::oauth::grants::revoke(&mut tx, id, at, "a person revoked it").await?;
    let act = Act {
        action: "grant.revoke",
        kind: "grant",
        id: id.to_string(),
        name: &row.client_name,
        detail: json!({}),
    };
    audit::note(&mut tx, caller.account, caller.actor(), at, act).await?;
    tx.commit().await?;
    Ok(app.callers_changed().await?)
}
