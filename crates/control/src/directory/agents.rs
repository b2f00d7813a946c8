//! Agents as callers: what they were granted, compiled when their token is read.

use std::sync::Arc;

use api::rules::Subject;
use domain::ids::{AccountId, AgentId, TokenId};
use domain::names::AccountName;
use domain::time::Timestamp;
use gateway::{Audience, AuthError, Calls, Grant, Limits, Principal};
use http::HeaderValue;
use store::agents::{AgentRow, AgentTokenHolder, PermissionRow, ServerAccessRow};
use store::{Store, StoreError};

use super::{LiveDirectory, TOUCH_EVERY, now};
use crate::app::problem::Chain;
use crate::auth::{AgentCaller, token};

impl LiveDirectory {
    /// The agent that shows this token; `None` for a token that no agent has.
    ///
    /// # Errors
    /// Why it is refused.
    pub(super) async fn agent_caller(&self, bearer: &str) -> Result<Option<AgentCaller>, AuthError> {
        let holder =
            store::agents::token_by_hash(&self.store, &token::hash_text(bearer)).await.map_err(failed)?;
        let Some(holder) = holder else { return Ok(None) };
        let at = now();
        if holder.token.revoked_at.is_some() {
            return Err(AuthError::Revoked);
        }
        if holder.token.expires_at.is_some_and(|end| end <= at) {
            return Err(AuthError::Expired);
        }
        if holder.token.last_used_at.is_none_or(|last| TOUCH_EVERY < at.micros_since(last)) {
            self.note_agent_use(&holder, at).await;
        }
        let limits = Limits {
            token: self.token_buckets.of(TokenId(holder.token.id.0)),
            account: self.account_buckets.of(holder.agent.account),
        };
        let credential = format!("agent_token:{}", holder.token.id);
        let account = holder.account_name;
        self.agent(&holder.agent, account, credential, holder.token.expires_at, limits).await.map(Some)
    }

    /// An agent that the gateway has let in, as a caller of its toolbelt's members; `None` when there is none of this id.
    ///
    /// # Errors
    /// As [`LiveDirectory::agent_caller`].
    pub(super) async fn agent_named(
        &self,
        account: AccountId,
        id: AgentId,
    ) -> Result<Option<AgentCaller>, AuthError> {
        let found = store::agents::by_id(&self.store, account, id).await.map_err(failed)?;
        let name = self.picture.load().account(account).cloned();
        let (Some(agent), Some(name)) = (found, name) else { return Ok(None) };
        let limits = Limits::default();
        self.agent(&agent, name, "toolbelt".to_owned(), None, limits).await.map(Some)
    }

    async fn agent(
        &self,
        agent: &AgentRow,
        account: AccountName,
        credential: String,
        expires_at: Option<Timestamp>,
        limits: Limits,
    ) -> Result<AgentCaller, AuthError> {
        let granted = Granted::read(&self.store, agent.id, now()).await.map_err(failed)?;
        let picture = self.picture.load();
        // It does no more than its maker may; one whose maker left is held to the rules of the least who makes agents.
        let maker = agent.created_by.and_then(|user| picture.member(agent.account, user));
        let who = match maker {
            Some(member) => vec![Subject::Role(member.role), Subject::User(member.user)],
            None => vec![Subject::Role(api::users::Role::Member)],
        };
        let clauses = picture.clauses(agent.account, &who);
        let calls = match &granted.toolbelt {
            Some(toolbelt) => Calls::of_agent(toolbelt, &granted.grants, &clauses),
            // It goes just now.
            None => return Err(AuthError::Revoked),
        };
        let header =
            HeaderValue::try_from(format!("agent:{}", agent.id)).map_err(|_| AuthError::Unavailable)?;
        Ok(AgentCaller {
            until: granted.until,
            expires_at,
            principal: Arc::new(Principal {
                account,
                account_id: agent.account,
                credential: credential.into(),
                audience: Audience::Account,
                header,
                calls,
                limits,
            }),
        })
    }

    /// A database that can be read but not written still lets agents in.
    async fn note_agent_use(&self, holder: &AgentTokenHolder, at: Timestamp) {
        let note = async {
            let mut tx = self.store.begin().await?;
            store::agents::touch_token(&mut tx, holder.token.id, at).await?;
            tx.commit().await
        };
        if let Err(error) = note.await {
            tracing::warn!(error = %Chain(&error), "the use of an agent's token could not be noted");
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` hands over")]
fn failed(error: StoreError) -> AuthError {
    tracing::warn!(error = %Chain(&error), "an agent's token could not be checked");
    AuthError::Unavailable
}

/// What an agent was granted.
struct Granted {
    toolbelt: Option<domain::names::InstanceName>,
    grants: Vec<Grant>,
    /// When the first of them ends.
    until: Option<Timestamp>,
}

impl Granted {
    async fn read(store: &Store, agent: AgentId, at: Timestamp) -> Result<Self, StoreError> {
        let Some(belt) = store::toolbelts::of_agent(store, agent).await? else {
            return Ok(Self { toolbelt: None, grants: Vec::new(), until: None });
        };
        let items = store::toolbelts::items(store, belt.id).await?;
        let permissions = store::agents::permissions_of_toolbelt(store, belt.id).await?;
        let mut servers = store::agents::servers(store, agent).await?;
        servers.retain(|row| row.counts_at(at));
        let grants = items.iter().filter(|item| item.is_active).map(|item| {
            let said = permissions.iter().filter(|row| row.item == item.id);
            let tool = |row: &PermissionRow| (row.capability_name.clone(), row.is_allowed);
            let server = servers.iter().find(|row| row.instance == item.instance);
            let level = |row: &ServerAccessRow| (row.level, row.allowed_tools.clone().unwrap_or_default());
            Grant {
                instance: item.instance_name.clone(),
                tools: said.map(tool).collect(),
                level: server.map(level),
            }
        });
        Ok(Self {
            grants: grants.collect(),
            until: servers.iter().filter_map(|row| row.expires_at).min(),
            toolbelt: Some(belt.name),
        })
    }
}
