//! What can be typed about API tokens: `berth token …`.

use clap::Subcommand;
use domain::names::AccountName;
use domain::scopes::Scope;

use super::duration_seconds;

/// `berth token …`.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token; it is shown once
    Create {
        /// What it is for
        name: String,
        /// How long it is valid, such as `12h`, `30d`; default: for ever
        #[arg(long, value_name = "DURATION", value_parser = duration_seconds)]
        expires: Option<u64>,
        /// What it is for: `read`, `deploy`, `admin`, `mcp:call`, `mcp:call:INSTANCE`, `mcp:call:INSTANCE/TOOL`; may be repeated;
        /// default: everything that you may
        #[arg(long = "scope", value_name = "SCOPE", value_delimiter = ',')]
        scopes: Vec<Scope>,
        /// Another account of yours that it is for
        #[arg(long, value_name = "ACCOUNT")]
        account: Option<AccountName>,
    },
    /// List the tokens
    List,
    /// Revoke a token; from then on it opens nothing
    Revoke {
        /// Its id, its prefix or its name, as `berth token list` shows them
        #[arg(value_name = "TOKEN")]
        which: String,
    },
}
