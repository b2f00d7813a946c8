//! What can be typed about who is told of what is broken, and `berth alerts …`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use control::{AlertOptions, Receivers};
use domain::secret::Secret;

use super::secret;
use crate::error::CliError;
use crate::settings::WEBHOOKS_VARIABLE;

/// Of `berth up` and `berth server`.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Who is told of what is broken")]
pub(crate) struct AlertArgs {
    /// Address that alerts are posted to as JSON, such as a chat's web hook; may be repeated
    #[arg(
        long = "alert-webhook", value_name = "URL", env = WEBHOOKS_VARIABLE, hide_env_values = true,
        value_delimiter = ' ', value_parser = secret
    )]
    pub(crate) webhooks: Vec<Secret>,
    /// File with the secret that those posts are signed with
    #[arg(long, value_name = "FILE")]
    pub(crate) alert_secret_file: Option<PathBuf>,
    /// Address that alerts are mailed to; may be repeated
    #[arg(long = "alert-email", value_name = "ADDRESS")]
    pub(crate) mail_to: Vec<String>,
    /// Whom those letters are from; default: the user of the mail server
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) alert_from: Option<String>,
    /// Mail server: `smtps://USER@HOST[:PORT]`, or `smtp://…` with STARTTLS; an `@` of the user is written %40
    #[arg(long, value_name = "URL")]
    pub(crate) smtp: Option<String>,
    /// File with the password of its user
    #[arg(long, value_name = "FILE")]
    pub(crate) smtp_password_file: Option<PathBuf>,
    /// Seconds that something is broken before it is told
    #[arg(long = "alert-after", value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) after: u64,
}

impl AlertArgs {
    /// Reads the files and looks whether all of it can be used.
    ///
    /// # Errors
    /// Names the option and what to do.
    pub(crate) fn receivers(&self) -> Result<Receivers, CliError> {
        let options = AlertOptions {
            webhooks: self.webhooks.clone(),
            webhook_secret: read("--alert-secret-file", self.alert_secret_file.as_deref())?,
            mail_to: self.mail_to.clone(),
            mail_from: self.alert_from.clone(),
            smtp: self.smtp.clone(),
            smtp_password: read("--smtp-password-file", self.smtp_password_file.as_deref())?,
            debounce: Some(Duration::from_secs(self.after)),
        };
        Receivers::new(&options).map_err(|error| CliError::usage(error.to_string()).with_hint(error.hint))
    }

    /// The same for another process of Berth's; the addresses of web hooks go by [`WEBHOOKS_VARIABLE`].
    pub(crate) fn arguments(&self) -> Vec<std::ffi::OsString> {
        let mut all = vec!["--alert-after".into(), self.after.to_string().into()];
        let files = [
            ("--alert-secret-file", &self.alert_secret_file),
            ("--smtp-password-file", &self.smtp_password_file),
        ];
        for (option, file) in files {
            all.extend(file.iter().flat_map(|file| [option.into(), file.into()]));
        }
        let texts = [("--smtp", &self.smtp), ("--alert-from", &self.alert_from)];
        for (option, text) in texts {
            all.extend(text.iter().flat_map(|text| [option.into(), text.into()]));
        }
        all.extend(self.mail_to.iter().flat_map(|to| ["--alert-email".into(), to.into()]));
        all
    }

    /// What stands in [`WEBHOOKS_VARIABLE`] of that process; `None` when there are none.
    pub(crate) fn webhooks(&self) -> Option<Secret> {
        let all: Vec<&str> = self.webhooks.iter().map(Secret::expose).collect();
        (!all.is_empty()).then(|| Secret::new(all.join(" ")))
    }
}

/// A secret in a file; the line end after it is not part of it.
fn read(option: &str, file: Option<&Path>) -> Result<Option<Secret>, CliError> {
    let Some(file) = file else { return Ok(None) };
    let text = std::fs::read_to_string(file)
        .map_err(|error| CliError::because(format!("`{option}`: cannot read `{}`", file.display()), error))?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(CliError::usage(format!("`{option}`: `{}` is empty", file.display())));
    }
    Ok(Some(Secret::new(text)))
}

/// `berth alerts …`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct AlertsArgs {
    /// Something else than listing them.
    #[command(subcommand)]
    pub(crate) command: Option<AlertsCommand>,
}

/// Below `berth alerts`.
#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum AlertsCommand {
    /// Send everybody who is told of alerts a message that says that it is a test
    Test,
}
