//! `/api/v1/server`: where the control plane is reached.

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
}
