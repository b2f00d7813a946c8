//! One order, from the account to the certificate.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hop::tls::{Lifetime, TlsError};
use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Error, Identifier, NewAccount, NewOrder, Order, OrderStatus,
    RetryPolicy,
};
use sha2::{Digest as _, Sha256};

use super::Acme;
use crate::app::problem::Chain;

/// How long an authority may look at a name, and sign.
const POLLING: RetryPolicy =
    RetryPolicy::new().initial_delay(Duration::from_millis(500)).backoff(1.5).timeout(Duration::from_mins(1));

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum AcmeError {
    /// Nobody answers, or not as an authority does.
    #[error("the authority cannot be asked: {0}")]
    Unreachable(String),
    /// The authority says no.
    #[error("the authority refused it ({kind}): {detail}")]
    Refused { kind: String, detail: String },
    /// The authority could not see that the name leads here.
    #[error("the authority could not see that the name leads here: {0}")]
    Unproven(String),
    /// It proves names in other ways alone.
    #[error("the authority knows no `tls-alpn-01`")]
    OtherWays,
    /// It took too long.
    #[error("the authority took too long")]
    TooSlow,
    /// The account's file.
    #[error("`{path}` cannot be used: {reason}")]
    File { path: PathBuf, reason: String },
    /// What it gave cannot be shown.
    #[error("what the authority gave cannot be shown: {0}")]
    Certificate(String),
}

impl AcmeError {
    /// Whether it wants fewer requests.
    pub(super) fn is_limit(&self) -> bool {
        matches!(self, Self::Refused { kind, .. } if kind == "rateLimited")
    }

    /// What to do.
    pub(super) fn advice(&self, acme: &Acme) -> String {
        let name = &acme.name;
        match self {
            Self::Unreachable(_) => format!(
                "check that this machine reaches {} and, for an authority of your own, that `--acme-root` names the one behind it",
                acme.directory
            ),
            Self::Refused { kind, .. } => match kind.as_str() {
                "rateLimited" => {
                    "wait: the authority takes no more for a while, and is asked again then".to_owned()
                }
                "invalidContact" | "unsupportedContact" => {
                    "give another address with `--acme-email`".to_owned()
                }
                "rejectedIdentifier" | "unsupportedIdentifier" | "malformed" => {
                    format!("the authority gives no certificate for {name}: check `--public-url`")
                }
                "caa" => format!("the CAA record of {name} names another authority"),
                _ => "read what the authority says; it is asked again".to_owned(),
            },
            Self::Unproven(_) => format!(
                "the DNS of {name} must lead to this machine, and port 443 there to `--https-listen` (as TLS, not ended by a proxy)"
            ),
            Self::OtherWays => "take another authority with `--acme-directory`".to_owned(),
            Self::TooSlow => "it is asked again".to_owned(),
            Self::File { .. } => {
                "see to that this process may write there; a damaged account file can be removed".to_owned()
            }
            Self::Certificate(_) => "it is asked again; tell whoever runs the authority".to_owned(),
        }
    }
}

impl From<Error> for AcmeError {
    fn from(error: Error) -> Self {
        match error {
            Error::Api(problem) => refused(&problem),
            Error::Timeout(_) => Self::TooSlow,
            error => Self::Unreachable(Chain(&error).to_string()),
        }
    }
}

impl From<TlsError> for AcmeError {
    fn from(error: TlsError) -> Self {
        Self::Certificate(Chain(&error).to_string())
    }
}

fn refused(problem: &instant_acme::Problem) -> AcmeError {
    let kind = problem.r#type.as_deref().unwrap_or("no kind");
    let mut detail = problem.detail.clone().unwrap_or_default();
    for sub in &problem.subproblems {
        detail.push_str("; ");
        detail.push_str(sub.detail.as_deref().unwrap_or_default());
    }
    AcmeError::Refused { kind: kind.rsplit(':').next().unwrap_or(kind).to_owned(), detail }
}

/// Asks for a certificate and has it shown.
///
/// # Errors
/// Any [`AcmeError`]; what was shown before is still shown.
pub(super) async fn obtain(acme: &Acme) -> Result<Lifetime, AcmeError> {
    let account = account(acme).await?;
    let names = [Identifier::Dns(acme.name.clone())];
    let mut order = account.new_order(&NewOrder::new(&names)).await?;
    prove(acme, &mut order).await?;
    match order.poll_ready(&POLLING).await {
        Ok(OrderStatus::Ready) => {}
        Ok(_) => return Err(unproven(&mut order).await),
        Err(Error::Api(problem)) => return Err(AcmeError::Unproven(problem.detail.unwrap_or_default())),
        Err(error) => return Err(error.into()),
    }
    order.finalize_csr(&acme.shown.request(&acme.name)?).await?;
    let chain = order.poll_certificate(&POLLING).await?;
    Ok(acme.shown.keep(&acme.name, &chain)?)
}

async fn prove(acme: &Acme, order: &mut Order) -> Result<(), AcmeError> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        match authorization.status {
            AuthorizationStatus::Pending => {}
            AuthorizationStatus::Valid => continue,
            _ => return Err(AcmeError::Unproven("an earlier try was refused".to_owned())),
        }
        let challenge = authorization.challenge(ChallengeType::TlsAlpn01);
        let mut challenge = challenge.ok_or(AcmeError::OtherWays)?;
        acme.shown.challenge(&acme.name, challenge.key_authorization().digest().as_ref())?;
        challenge.set_ready().await?;
    }
    Ok(())
}

/// What the authority says of its look at the name.
async fn unproven(order: &mut Order) -> AcmeError {
    let mut said = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else { continue };
        let errors = state.challenges.iter().filter_map(|challenge| challenge.error.as_ref());
        said.extend(errors.filter_map(|error| error.detail.clone()));
    }
    AcmeError::Unproven(if said.is_empty() { "it does not say why".to_owned() } else { said.join("; ") })
}

/// The account of earlier, or a new one. Each directory has its own.
async fn account(acme: &Acme) -> Result<Account, AcmeError> {
    let builder = || match &acme.root {
        Some(root) => Account::builder_with_root(root),
        None => Account::builder(),
    };
    let digest = Sha256::digest(format!("{} {}", acme.directory, acme.email));
    let name = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    let path = acme.dir.join(format!("account-{name}.json"));
    let unusable = |reason: String| AcmeError::File { path: path.clone(), reason };
    match fs::read(&path) {
        Ok(text) => {
            let credentials =
                serde_json::from_slice(&text).map_err(|_| unusable("it holds no account".to_owned()))?;
            Ok(builder()?.from_credentials(credentials).await?)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Looked at before the authority is asked: an account whose key is lost is of no use to anybody.
            make_dir(&acme.dir).map_err(|error| unusable(error.to_string()))?;
            let contact = format!("mailto:{}", acme.email);
            let new = NewAccount {
                contact: &[&contact],
                terms_of_service_agreed: true,
                only_return_existing: false,
            };
            let (account, credentials) = builder()?.create(&new, acme.directory.clone(), None).await?;
            let text = serde_json::to_string(&credentials).map_err(|error| unusable(error.to_string()))?;
            write(&path, &text).map_err(|error| unusable(error.to_string()))?;
            Ok(account)
        }
        Err(error) => Err(unusable(error.to_string())),
    }
}

fn make_dir(dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Whole or not at all, for the owner alone.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)
}
