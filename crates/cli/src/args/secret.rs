//! What can be typed about the account's secrets: `berth secret …`.

use std::path::PathBuf;

use clap::Subcommand;
use domain::secret::Secret;
use domain::vault::SecretName;

/// `berth secret …`.
#[derive(Debug, Subcommand)]
pub(crate) enum SecretCommand {
    /// Keep a secret, or the next version of one; instances that use it are restarted with it
    #[command(after_help = "Examples:
  berth secret set GITHUB_TOKEN @token.txt
  pass show github | berth secret set GITHUB_TOKEN --stdin
  berth deploy github --secret token=secret:GITHUB_TOKEN")]
    Set {
        /// Its name, such as `GITHUB_TOKEN`
        name: SecretName,
        /// File that has the value, as `@FILE`; a line end at its end is not part of it
        #[arg(value_name = "@FILE", required_unless_present = "stdin", value_parser = at_file)]
        file: Option<PathBuf>,
        /// Read the value from standard input
        #[arg(long, conflicts_with = "file")]
        stdin: bool,
        /// Leave instances that use it with the version that they have, until they are started, restarted or moved
        #[arg(long)]
        no_restart: bool,
    },
    /// Give your own values to an instance whose callers each bring theirs, or see which it wants
    #[command(after_help = "Examples:
  berth secret own notes API_KEY=@key.txt
  berth secret own notes
  berth secret own notes --forget")]
    Own {
        /// The instance
        instance: String,
        /// A value; `@FILE` reads it from a file, `@-` from standard input. Without any: which are wanted, and whether you gave them
        #[arg(value_name = "KEY=@FILE", value_parser = super::secret_setting)]
        values: Vec<(String, Secret)>,
        /// Forget what you gave
        #[arg(long, conflicts_with = "values")]
        forget: bool,
    },
    /// List the secrets, and which instances use them; never their values
    #[command(visible_alias = "ls")]
    List,
    /// Remove a secret that no instance uses
    #[command(visible_alias = "rm")]
    Remove {
        /// Its name
        name: SecretName,
    },
}

/// A value on the command line would be seen by everybody on this machine, and stay in the shell's history.
fn at_file(text: &str) -> Result<PathBuf, String> {
    match text.strip_prefix('@') {
        Some(file) if !file.is_empty() => Ok(file.into()),
        _ => Err("write `@FILE` for a file that has the value, or give it to `--stdin`".to_owned()),
    }
}
