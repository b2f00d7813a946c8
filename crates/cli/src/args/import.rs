//! What can be typed about taking over another platform: `berth import …`, on the control plane's own machine.

use clap::{Args, Subcommand};
use domain::names::AccountName;
use domain::secret::Secret;

use super::secret;
use crate::settings::{DATABASE_VARIABLE, LEGACY_VARIABLE};

/// `berth import …`.
#[derive(Debug, Subcommand)]
pub(crate) enum ImportCommand {
    /// Take over users, environments, instances, agents and secrets of the older platform's database; without `--apply` only say what would come
    Legacy(Box<LegacyArgs>),
}

/// `berth import legacy`.
#[derive(Debug, Args)]
pub(crate) struct LegacyArgs {
    /// The older database, which is only read: `postgres://USER:PASSWORD@HOST:PORT/NAME`
    #[arg(value_name = "POSTGRES_URL", env = LEGACY_VARIABLE, hide_env_values = true, value_parser = secret)]
    pub(crate) source: Secret,
    /// Write it; without this nothing is changed
    #[arg(long)]
    pub(crate) apply: bool,
    /// The account that takes all of it; default: an account for each older user
    #[arg(long, value_name = "NAME")]
    pub(crate) account: Option<AccountName>,
    /// The Supabase project whose users these are, so that its tokens open what was theirs: `https://PROJECT.supabase.co`
    #[arg(long = "supabase-url", value_name = "URL")]
    pub(crate) supabase: Option<String>,
    /// Dial hosts in clear, as the older platform did; default: over TLS, once each was enrolled
    #[arg(long)]
    pub(crate) insecure_http: bool,
    /// Database of Berth, as `berth up` or `berth server` has it
    #[arg(long, value_name = "URL", env = DATABASE_VARIABLE, hide_env_values = true, value_parser = secret)]
    pub(crate) database: Option<Secret>,
}
