//! What can be typed about the master key: `berth key …`, on the control plane's own machine.

use clap::{Args, Subcommand};
use domain::secret::Secret;

use super::secret;
use crate::settings::DATABASE_VARIABLE;

/// `berth key …`.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Show its versions, and what is sealed with them; never the key
    Status(KeyArgs),
    /// Add a version and seal everything with it; what breaks off is finished by the next start
    Rotate(KeyArgs),
}

/// Which database is meant; the data directory is that of `--data`.
#[derive(Debug, Args)]
pub(crate) struct KeyArgs {
    /// Database, as `berth up` or `berth server` has it
    #[arg(long, value_name = "URL", env = DATABASE_VARIABLE, hide_env_values = true, value_parser = secret)]
    pub(crate) database: Option<Secret>,
}
