//! Who calls: API tokens of people, tokens of DTMAs, and what a role may do.

pub(crate) mod cache;
pub(crate) mod token;

use std::sync::Arc;

use api::errors::ErrorCode;
use api::users::Role;
use domain::ids::{AccountId, UserId};
use domain::names::AccountName;
use domain::time::Timestamp;

use crate::app::Problem;

/// Who calls with an API token.
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
    /// What the user may do in it.
    pub(crate) role: Role,
    /// When the token ends.
    pub(crate) expires_at: Option<Timestamp>,
    /// The same caller as the gateway wants it.
    pub(crate) principal: Arc<gateway::Principal>,
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
        Err(Problem::refused(ErrorCode::Forbidden, format!("this takes the role `{needed}` in the account"))
            .hint("ask an admin of the account"))
    }

    /// Who did it, for the audit table.
    pub(crate) fn actor(&self) -> String {
        format!("user:{}", self.user)
    }
}
