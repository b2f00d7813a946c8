//! Who calls: API tokens of people, tokens of DTMAs, sessions of browsers, and what a role may do.

pub(crate) mod access;
pub(crate) mod attempts;
pub(crate) mod browser;
pub(crate) mod cache;
pub(crate) mod issuers;
pub(crate) mod oidc;
pub(crate) mod passwords;
pub(crate) mod token;

use std::sync::Arc;

use api::errors::ErrorCode;
use api::users::Role;
use domain::ids::{AccountId, UserId};
use domain::names::AccountName;
use domain::scopes::{Scope, Scopes};
use domain::time::Timestamp;

use crate::app::Problem;

/// Who calls with a token of any kind, or with a page.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// Whose it is.
    pub(crate) user: UserId,
    /// Their name.
    pub(crate) user_name: String,
    /// The account it is for.
    pub(crate) account: AccountId,
    /// Its name.
    pub(crate) account_name: AccountName,
    /// What the user may do in it, or less where the token is for less.
    pub(crate) role: Role,
    /// What the token is for; absent: everything that the user may.
    pub(crate) scopes: Option<Scopes>,
    /// When the token ends.
    pub(crate) expires_at: Option<Timestamp>,
    /// The same caller as the gateway wants it.
    pub(crate) principal: Arc<gateway::Principal>,
}

/// Whose a token is.
#[derive(Debug, Clone)]
pub(crate) enum Holder {
    /// A person's.
    Person(Arc<Caller>),
    /// An agent's, which may call and nothing else.
    Agent(Arc<AgentCaller>),
}

/// An agent that calls.
#[derive(Debug)]
pub(crate) struct AgentCaller {
    /// When its token, or something that it was granted, ends; the first of them.
    pub(crate) until: Option<Timestamp>,
    /// When its token ends.
    pub(crate) expires_at: Option<Timestamp>,
    /// It as the gateway wants it.
    pub(crate) principal: Arc<gateway::Principal>,
}

impl Holder {
    /// The holder as the gateway wants it.
    pub(crate) fn principal(&self) -> &Arc<gateway::Principal> {
        match self {
            Self::Person(caller) => &caller.principal,
            Self::Agent(agent) => &agent.principal,
        }
    }

    /// When the token ends.
    pub(crate) fn expires_at(&self) -> Option<Timestamp> {
        match self {
            Self::Person(caller) => caller.expires_at,
            Self::Agent(agent) => agent.expires_at,
        }
    }

    /// Whether something that it was granted has ended since it was made, so that it must be made anew.
    pub(crate) fn is_outdated(&self, now: Timestamp) -> bool {
        match self {
            Self::Person(_) => false,
            Self::Agent(agent) => agent.until.is_some_and(|until| until <= now),
        }
    }
}

fn lacks(scope: &Scope, scopes: &Scopes) -> Problem {
    Problem::refused(ErrorCode::Forbidden, format!("this API token is not for that: its scopes are {scopes}"))
        .hint(format!(
            "`berth token create NAME --scope {scope}`, with a token that may make others, makes one that is"
        ))
}

/// What a user of a role may do with a token of these scopes.
pub(crate) fn capped(role: Role, scopes: Option<&Scopes>) -> Role {
    match scopes {
        Some(scopes) if !scopes.cover(&Scope::Admin) => {
            role.min(if scopes.cover(&Scope::Deploy) { Role::Member } else { Role::Viewer })
        }
        _ => role,
    }
}

impl Caller {
    /// Refuses callers below `role`.
    ///
    /// # Errors
    /// 403 that names the role that is needed.
    pub(crate) fn require(&self, role: Role) -> Result<(), Problem> {
        if role <= self.role {
            return Ok(());
        }
        let needed = match role {
            Role::Viewer => "viewer",
            Role::Member => "member",
            Role::Admin => "admin",
            Role::Owner => "owner",
        };
        if let Some(scopes) = self.scopes.as_ref().filter(|scopes| !scopes.cover(&Scope::Admin)) {
            let scope = if role <= Role::Member { Scope::Deploy } else { Scope::Admin };
            return Err(lacks(&scope, scopes));
        }
        Err(Problem::refused(ErrorCode::Forbidden, format!("this takes the role `{needed}` in the account"))
            .hint("ask an admin of the account"))
    }

    /// Refuses tokens that are not for `scope`.
    ///
    /// # Errors
    /// 403 that names the scope.
    pub(crate) fn require_scope(&self, scope: &Scope) -> Result<(), Problem> {
        match &self.scopes {
            Some(scopes) if !scopes.cover(scope) => Err(lacks(scope, scopes)),
            _ => Ok(()),
        }
    }

    /// Who did it, for the audit table.
    pub(crate) fn actor(&self) -> String {
        format!("user:{}", self.user)
    }
}
