//! What can be typed about others whose tokens are taken.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use control::{Issuer, IssuerAccount, IssuerKeys};
use domain::names::AccountName;
use domain::secret::Secret;

use super::people::RoleChoice;
use crate::error::{CliError, io_failure};

/// Of `berth up` and `berth server`.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Tokens that others give")]
pub(crate) struct IssuerArgs {
    /// Supabase project whose signed-in users may use the API and call MCP servers with their own tokens, such as
    /// `https://abc.supabase.co`; each has an account of their own
    #[arg(long, value_name = "URL")]
    pub(crate) supabase_url: Option<String>,
    /// File with the project's JWT secret; default: its public keys
    #[arg(long, value_name = "FILE", requires = "supabase_url")]
    pub(crate) supabase_jwt_secret_file: Option<PathBuf>,
    /// Account that all of them are members of, instead of one for each
    #[arg(long, value_name = "ACCOUNT", requires = "supabase_url")]
    pub(crate) supabase_account: Option<AccountName>,
    /// Issuer whose JWTs are taken, to the letter
    #[arg(long, value_name = "ISSUER", requires_all = ["jwt_audience", "jwt_keys"])]
    pub(crate) jwt_issuer: Option<String>,
    /// What they must be for: their `aud`
    #[arg(long, value_name = "AUDIENCE", requires = "jwt_issuer")]
    pub(crate) jwt_audience: Option<String>,
    /// Where its public keys are, as a JSON Web Key Set
    #[arg(long, value_name = "URL", requires = "jwt_issuer")]
    pub(crate) jwt_keys: Option<String>,
    /// Account that its people are members of; default: each has one of their own
    #[arg(long, value_name = "ACCOUNT", requires = "jwt_issuer")]
    pub(crate) jwt_account: Option<AccountName>,
    /// What they may do there to begin with
    #[arg(long, value_name = "ROLE", value_enum, requires = "jwt_account", default_value_t = RoleChoice::Member)]
    pub(crate) jwt_role: RoleChoice,
}

fn url(flag: &str, text: &str) -> Result<(), CliError> {
    let is_url =
        reqwest::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "https" | "http") && url.has_host());
    if is_url {
        Ok(())
    } else {
        Err(CliError::usage(format!("{flag} {text}: write a URL, such as https://example.com")))
    }
}

impl IssuerArgs {
    /// Those that are named.
    ///
    /// # Errors
    /// When one cannot be, or the file cannot be read.
    pub(crate) fn issuers(&self) -> Result<Vec<Issuer>, CliError> {
        let mut all = Vec::new();
        if let Some(project) = &self.supabase_url {
            url("--supabase-url", project)?;
            let secret = match &self.supabase_jwt_secret_file {
                None => None,
                Some(file) => {
                    let text = std::fs::read_to_string(file).map_err(|e| io_failure("read", file, e))?;
                    let text = text.trim();
                    // RFC 7518 §3.2: a key for HS256 has 256 bits at least.
                    if text.len() < 32 {
                        let words = format!("`{}` holds no secret of at least 32 characters", file.display());
                        return Err(CliError::usage(words));
                    }
                    Some(Secret::new(text))
                }
            };
            let mut issuer = Issuer::supabase(project, secret);
            if let Some(account) = &self.supabase_account {
                issuer.account = IssuerAccount::One(account.clone(), api::users::Role::Member);
            }
            all.push(issuer);
        }
        if let (Some(issuer), Some(audience), Some(keys)) =
            (&self.jwt_issuer, &self.jwt_audience, &self.jwt_keys)
        {
            url("--jwt-keys", keys)?;
            let account = self.jwt_account.clone();
            all.push(Issuer {
                issuer: issuer.clone(),
                audience: audience.clone(),
                keys: IssuerKeys::At(keys.clone()),
                account: account
                    .map_or(IssuerAccount::Own, |account| IssuerAccount::One(account, self.jwt_role.role())),
                roles: Vec::new(),
            });
        }
        Ok(all)
    }

    /// The same for the process of the control plane.
    pub(crate) fn arguments(&self) -> Vec<OsString> {
        let mut all: Vec<OsString> = Vec::new();
        let mut add = |flag: &str, value: Option<&str>| {
            all.extend(value.into_iter().flat_map(|value| [OsString::from(flag), OsString::from(value)]));
        };
        add("--supabase-url", self.supabase_url.as_deref());
        add("--supabase-account", self.supabase_account.as_ref().map(AccountName::as_str));
        add("--jwt-issuer", self.jwt_issuer.as_deref());
        add("--jwt-audience", self.jwt_audience.as_deref());
        add("--jwt-keys", self.jwt_keys.as_deref());
        add("--jwt-account", self.jwt_account.as_ref().map(AccountName::as_str));
        if self.jwt_account.is_some() {
            add("--jwt-role", Some(super::people::role_word(self.jwt_role)));
        }
        if let Some(file) = &self.supabase_jwt_secret_file {
            // Wherever the process of the control plane is.
            all.push("--supabase-jwt-secret-file".into());
            all.push(std::path::absolute(file).unwrap_or(file.clone()).into());
        }
        all
    }
}
