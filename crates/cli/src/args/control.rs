//! What a control plane takes, whether `berth server` runs it or `berth up`, which hands it on.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use control::Config;

use super::{AlertArgs, AuditKeepArgs, IssuerArgs, OidcArgs, QuotaArgs, RateArgs, ReachChoice, origin};
use crate::error::CliError;

/// Of `berth up` and `berth server`.
#[derive(Debug, Args)]
pub(crate) struct ControlArgs {
    /// Web page that may call the MCP addresses, such as `https://app.example.com`; may be repeated
    #[arg(long = "allow-origin", value_name = "ORIGIN", value_parser = origin)]
    pub(crate) origins: Vec<String>,
    /// How the gateway reaches this machine's instances; for measuring
    #[arg(long, value_enum, hide = true)]
    pub(crate) reach: Option<ReachChoice>,
    /// What hosts are upgraded to instead of this program; for tests
    #[arg(long, hide = true, value_name = "FILE")]
    pub(crate) upgrade_program: Option<PathBuf>,
    /// Who is told of what is broken.
    #[command(flatten)]
    pub(crate) alerts: AlertArgs,
    /// What the audit has, and for how long.
    #[command(flatten)]
    audit: AuditKeepArgs,
    /// How often MCP servers may be called.
    #[command(flatten)]
    rates: RateArgs,
    /// How much an account may have.
    #[command(flatten)]
    quotas: QuotaArgs,
    /// Who vouches for people that sign in.
    #[command(flatten)]
    oidc: OidcArgs,
    /// Whose tokens are taken beside Berth's own.
    #[command(flatten)]
    issuers: IssuerArgs,
}

impl ControlArgs {
    /// Whether all of it can be used: `berth up` says so itself, and not a server that ends again and again.
    ///
    /// # Errors
    /// What cannot.
    pub(crate) fn check(&self) -> Result<(), CliError> {
        self.alerts.receivers()?;
        self.oidc.oidc()?;
        self.issuers.issuers().map(drop)
    }

    /// Tells the control plane, but for what `commands::server::config` takes.
    ///
    /// # Errors
    /// What cannot be used.
    pub(crate) fn apply(&self, config: &mut Config) -> Result<(), CliError> {
        config.upgrade_program.clone_from(&self.upgrade_program);
        config.receivers = self.alerts.receivers()?;
        config.audit_keep = self.audit.keep();
        config.audit_arguments = self.audit.audit_arguments;
        config.rates = self.rates.rates();
        config.quotas = self.quotas.quotas();
        config.oidc = self.oidc.oidc()?;
        config.issuers = self.issuers.issuers()?;
        Ok(())
    }

    /// The same for the process of the control plane.
    pub(crate) fn arguments(&self) -> Vec<OsString> {
        let mut all: Vec<OsString> =
            self.origins.iter().flat_map(|origin| ["--allow-origin", origin].map(OsString::from)).collect();
        if let Some(reach) = self.reach {
            let word = match reach {
                ReachChoice::Socket => "socket",
                ReachChoice::Dtma => "dtma",
                ReachChoice::Http2 => "http2",
            };
            all.extend(["--reach", word].map(OsString::from));
        }
        if let Some(file) = &self.upgrade_program {
            all.extend([OsString::from("--upgrade-program"), file.into()]);
        }
        all.extend(self.alerts.arguments());
        all.extend(self.audit.arguments());
        all.extend(self.rates.arguments());
        all.extend(self.quotas.arguments());
        all.extend(self.oidc.arguments());
        all.extend(self.issuers.arguments());
        all
    }
}
