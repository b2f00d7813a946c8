//! What can be typed about people: accounts, members, invitations, sessions, passwords and the way back in.

use api::users::Role;
use clap::{Args, Subcommand, ValueEnum};
use domain::names::{AccountName, UserName};
use domain::secret::Secret;

use super::{duration_seconds, secret};
use crate::settings::DATABASE_VARIABLE;

/// `berth recover`.
#[derive(Debug, Args)]
pub(crate) struct RecoverArgs {
    /// Who is let in; default: the first who looks after the installation
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// Print a fresh API token too
    #[arg(long = "with-token")]
    pub(crate) with_token: bool,
    /// Database: a file, or `postgres://…`; default: `control/berth.db` in the data directory
    #[arg(long, value_name = "URL", env = DATABASE_VARIABLE, hide_env_values = true, value_parser = secret)]
    pub(crate) database: Option<Secret>,
}

/// `berth password`.
#[derive(Debug, Args)]
pub(crate) struct PasswordArgs {
    /// Read it from standard input: the new password on the first line and, when there is one already, that on the second
    #[arg(long)]
    pub(crate) stdin: bool,
}

/// `berth account …`.
#[derive(Debug, Subcommand)]
pub(crate) enum AccountCommand {
    /// List your accounts
    List,
    /// Make an account, whose owner you are; for who looks after the installation
    Create {
        /// Its name: the first part of its MCP addresses
        name: AccountName,
    },
}

/// `berth member …`.
#[derive(Debug, Subcommand)]
pub(crate) enum MemberCommand {
    /// List who is in the account
    List,
    /// Change what somebody may do; for an admin
    Role {
        /// Name of the user
        name: String,
        /// What they may do from now on
        #[arg(value_enum)]
        role: RoleChoice,
    },
    /// Take somebody out of the account, or leave it; the API tokens they have in it end
    Remove {
        /// Name of the user
        name: String,
    },
}

/// `berth invite …`.
#[derive(Debug, Subcommand)]
pub(crate) enum InviteCommand {
    /// Make a link that lets one person into the account; it is shown once
    Create {
        /// What they may do
        #[arg(long, value_enum, default_value_t = RoleChoice::Member)]
        role: RoleChoice,
        /// Name to propose
        #[arg(long, value_name = "NAME")]
        name: Option<UserName>,
        /// Whom it is for; who signs in through an identity provider that vouches for this address needs no link
        #[arg(long, value_name = "ADDRESS")]
        email: Option<String>,
        /// How long it is good, such as `12h`, `30d`; default: 7 days
        #[arg(long, value_name = "DURATION", value_parser = duration_seconds)]
        expires: Option<u64>,
    },
    /// List the invitations that nobody has accepted yet
    List,
    /// Take an invitation back
    Revoke {
        /// Its id, its name or its address, as `berth invite list` shows them
        #[arg(value_name = "INVITATION")]
        which: String,
    },
}

/// `berth session …`.
#[derive(Debug, Subcommand)]
pub(crate) enum SessionCommand {
    /// List the browsers in which you are signed in
    List,
    /// End a session: its browser has to sign in again
    End {
        /// Its id, as `berth session list` shows it
        #[arg(value_name = "SESSION")]
        id: String,
    },
}

/// What somebody may do in an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleChoice {
    /// Reads
    Viewer,
    /// Reads, deploys and removes
    Member,
    /// Everything but the account itself
    Admin,
    /// Everything
    Owner,
}

/// A role as it is typed.
pub(crate) fn role_word(role: RoleChoice) -> &'static str {
    match role {
        RoleChoice::Viewer => "viewer",
        RoleChoice::Member => "member",
        RoleChoice::Admin => "admin",
        RoleChoice::Owner => "owner",
    }
}

impl RoleChoice {
    pub(crate) fn role(self) -> Role {
        match self {
            Self::Viewer => Role::Viewer,
            Self::Member => Role::Member,
            Self::Admin => Role::Admin,
            Self::Owner => Role::Owner,
        }
    }
}
