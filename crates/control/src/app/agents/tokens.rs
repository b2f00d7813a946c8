//! Tokens of agents.

use api::agents::{AgentToken, CreateAgentTokenRequest, CreatedAgentToken};
use domain::ids::AgentTokenId;
use domain::scopes::Scope;
use serde_json::json;
use store::agents::AgentTokenRow;

use super::{find, find_own, require_own};
use crate::app::audit::{self, Act};
use crate::app::tokens::{end_of, name_of};
use crate::app::{App, Outcome, Problem};
use crate::auth::{Caller, token};
use crate::directory::now;

/// An agent's tokens, newest first.
///
/// # Errors
/// 404 with the nearest name.
pub(crate) async fn tokens(app: &App, caller: &Caller, agent: &str) -> Outcome<Vec<AgentToken>> {
    let agent = find(app, caller, agent).await?;
    let rows = store::agents::tokens(&app.store, agent.id).await?;
    Ok(rows.into_iter().map(render).collect())
}

/// Makes a token for an agent. Its text is in the answer and nowhere else.
///
/// # Errors
/// 403 as [`require_own`], and with a token that is not for as much; 404; 422 with field.
pub(crate) async fn create_token(
    app: &App,
    caller: &Caller,
    agent: &str,
    request: &CreateAgentTokenRequest,
) -> Outcome<CreatedAgentToken> {
    let agent = find_own(app, caller, agent).await?;
    // It calls in the agent's place, so whoever makes it must be allowed to make tokens, and tokens that call.
    caller.require_scope(&Scope::Admin)?;
    caller.require_scope(&Scope::Call { instance: None, tool: None })?;
    let name = name_of(&request.name)?;
    let at = now();
    let expires_at = end_of(request.expires_in_seconds, at)?;
    let secret = token::generate_for_agent()?;
    let row = AgentTokenRow {
        id: AgentTokenId::generate(),
        agent: agent.id,
        name: name.to_owned(),
        prefix: token::shown_of_agent(&secret),
        created_at: at,
        expires_at,
        last_used_at: None,
        revoked_at: None,
    };
    let mut tx = app.store.begin().await?;
    store::agents::insert_token(&mut tx, &row, &token::hash_text(secret.expose())).await?;
    let act = Act {
        action: "agent_token.create",
        kind: "agent_token",
        id: row.id.to_string(),
        name,
        detail: json!({ "agent": agent.name, "expires_at": row.expires_at }),
    };
    audit::note(&mut tx, caller.account, caller.actor(), at, act).await?;
    tx.commit().await?;
    app.agent_changed(&agent);
    Ok(CreatedAgentToken { token: render(row), secret })
}

/// Revokes a token of an agent, at once for this process. Doing it again is no error.
///
/// # Errors
/// 403 as [`require_own`], 404.
pub(crate) async fn revoke_token(app: &App, caller: &Caller, agent: &str, id: &str) -> Outcome<()> {
    let agent = find(app, caller, agent).await?;
    require_own(app, caller, &agent)?;
    let unknown = || {
        Problem::not_found("token of that agent", id)
            .hint(format!("`berth agent token list {}` shows those there are, with their ids", agent.name))
    };
    let id: AgentTokenId = id.parse().map_err(|_| unknown())?;
    let at = now();
    let mut tx = app.store.begin().await?;
    let row = match store::agents::revoke_token(&mut tx, agent.id, id, at).await {
        Err(store::StoreError::NotFound { .. }) => return Err(unknown()),
        other => other?,
    };
    let act = Act {
        action: "agent_token.revoke",
        kind: "agent_token",
        id: row.id.to_string(),
        name: &row.name,
        detail: json!({ "agent": agent.name }),
    };
    audit::note(&mut tx, caller.account, caller.actor(), at, act).await?;
    tx.commit().await?;
    app.agent_changed(&agent);
    Ok(())
}

fn render(row: AgentTokenRow) -> AgentToken {
    AgentToken {
        id: row.id,
        name: row.name,
        prefix: row.prefix,
        created_at: row.created_at,
        expires_at: row.expires_at,
        last_used_at: row.last_used_at,
        revoked_at: row.revoked_at,
    }
}
