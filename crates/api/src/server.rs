//! `/api/v1/server`: where the control plane is reached.

use domain::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The answer to `GET /api/v1/server`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Server {
    /// The address that others use, without a slash at its end.
    pub public_url: String,
    /// The pin of the key that answers there (`sha256//` and base64, as of curl's `--pinnedpubkey`), exactly when no authority knows
    /// its certificate.
    pub tls_pin: Option<String>,
    /// The control plane's version.
    pub version: String,
    /// How this very request arrived: what a proxy in between says counts where it was named with `--trusted-proxy`.
    pub caller: Option<CallerSeen>,
    /// The certificate that an authority is asked for; absent without `--acme-email`.
    pub certificate: Option<Certificate>,
}

/// A certificate that an authority is asked for (ACME, RFC 8555).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Certificate {
    /// The name that is certified.
    pub name: String,
    /// The authority's directory.
    pub directory: String,
    /// How it stands.
    pub state: CertificateState,
    /// Until when the one that is shown is valid; absent while none was given.
    pub expires_at: Option<Timestamp>,
    /// When the authority is asked next.
    pub next_try_at: Option<Timestamp>,
    /// What went wrong, while it fails.
    pub message: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

/// How a certificate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CertificateState {
    /// The authority was not asked yet: the self-signed one is shown.
    Waiting,
    /// The authority gave one, which is shown.
    Valid,
    /// The authority gives none now: what was shown before is shown.
    Failing,
}

/// A request as the control plane sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CallerSeen {
    /// Who called.
    pub address: String,
    /// `http` or `https`, as the caller spoke it.
    pub scheme: String,
    /// The host that was asked for, with its port.
    pub host: Option<String>,
    /// Whether a trusted proxy passed it on.
    pub through_proxy: bool,
}
