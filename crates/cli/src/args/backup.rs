//! What can be typed about backups: `berth backup` and `berth restore`, on the control plane's own machine.

use std::path::PathBuf;

use clap::Args;
use domain::secret::Secret;

use super::secret;
use crate::settings::DATABASE_VARIABLE;

/// `berth backup`.
#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// File to write; `-`: standard output
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Leave the keys out, of secrets and of certificates: without a copy of the master key nothing can be restored
    #[arg(long)]
    pub(crate) without_key: bool,
    /// Replace the file when it is there
    #[arg(long)]
    pub(crate) force: bool,
    /// Database, as `berth up` or `berth server` has it
    #[arg(long, value_name = "URL", env = DATABASE_VARIABLE, hide_env_values = true, value_parser = secret)]
    pub(crate) database: Option<Secret>,
}

/// `berth restore`.
#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// File that `berth backup` wrote; `-`: standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Database to restore into, of either kind, empty; default: `control/berth.db` in the data directory
    #[arg(long, value_name = "URL", env = DATABASE_VARIABLE, hide_env_values = true, value_parser = secret)]
    pub(crate) database: Option<Secret>,
}
