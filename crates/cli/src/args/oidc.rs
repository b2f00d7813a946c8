//! What can be typed about an identity provider that people sign in with.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use control::Oidc;
use domain::names::AccountName;
use domain::secret::Secret;

use super::people::RoleChoice;
use crate::error::{CliError, io_failure};

/// Of `berth up` and `berth server`.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "An identity provider to sign in with (OpenID Connect)")]
#[expect(clippy::struct_field_names, reason = "fields are named as the options are")]
pub(crate) struct OidcArgs {
    /// Its issuer, such as `https://login.example.com/realms/team`; where it sends browsers back to is
    /// `PUBLIC-URL/sign-in/oidc/callback`
    #[arg(long, value_name = "URL", requires_all = ["oidc_client_id", "oidc_client_secret_file"])]
    pub(crate) oidc_issuer: Option<String>,
    /// What it calls this Berth
    #[arg(long, value_name = "ID", requires = "oidc_issuer")]
    pub(crate) oidc_client_id: Option<String>,
    /// File with the secret that it gave for that
    #[arg(long, value_name = "FILE", requires = "oidc_issuer")]
    pub(crate) oidc_client_secret_file: Option<PathBuf>,
    /// What people call it
    #[arg(long, value_name = "NAME", requires = "oidc_issuer", default_value = "your identity provider")]
    pub(crate) oidc_name: String,
    /// Account that everybody is in whom it vouches for; default: only who was invited
    #[arg(long, value_name = "ACCOUNT", requires = "oidc_issuer")]
    pub(crate) oidc_account: Option<AccountName>,
    /// What they may do there
    #[arg(long, value_name = "ROLE", value_enum, requires = "oidc_account", default_value_t = RoleChoice::Member)]
    pub(crate) oidc_role: RoleChoice,
}

impl OidcArgs {
    /// The provider, when one is named.
    ///
    /// # Errors
    /// When it cannot be one, or the file cannot be read.
    pub(crate) fn oidc(&self) -> Result<Option<Oidc>, CliError> {
        let (Some(issuer), Some(id), Some(file)) =
            (&self.oidc_issuer, &self.oidc_client_id, &self.oidc_client_secret_file)
        else {
            return Ok(None);
        };
        let text = std::fs::read_to_string(file).map_err(|e| io_failure("read", file, e))?;
        let secret = text.trim_end_matches(['\r', '\n']);
        if secret.is_empty() {
            return Err(CliError::usage(format!("`{}` holds no secret", file.display())));
        }
        let oidc = Oidc::new(issuer, id, Secret::new(secret), &self.oidc_name);
        let mut oidc = oidc.map_err(|error| CliError::usage(format!("--oidc-issuer {issuer}: {error}")))?;
        oidc.provision = self.oidc_account.clone().map(|account| (account, self.oidc_role.role()));
        Ok(Some(oidc))
    }

    /// The same for the process of the control plane.
    pub(crate) fn arguments(&self) -> Vec<OsString> {
        let mut all: Vec<OsString> = Vec::new();
        let mut add = |flag: &str, value: Option<OsString>| {
            all.extend(value.into_iter().flat_map(|value| [OsString::from(flag), value]));
        };
        let text = |text: &Option<String>| text.as_ref().map(OsString::from);
        add("--oidc-issuer", text(&self.oidc_issuer));
        add("--oidc-client-id", text(&self.oidc_client_id));
        // Wherever the process of the control plane is.
        let file = self.oidc_client_secret_file.as_ref();
        add(
            "--oidc-client-secret-file",
            file.map(|file| std::path::absolute(file).unwrap_or(file.clone()).into()),
        );
        if self.oidc_issuer.is_some() {
            add("--oidc-name", Some(OsString::from(&self.oidc_name)));
        }
        if let Some(account) = &self.oidc_account {
            add("--oidc-account", Some(account.as_str().into()));
            add("--oidc-role", Some(super::people::role_word(self.oidc_role).into()));
        }
        all
    }
}
