//! API tokens as texts: made from 32 random bytes, stored only as SHA-256 (a random text needs no slow hash).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::secret::Secret;
use sha2::{Digest as _, Sha256};

use crate::secrets::{SecretsError, hex, random};

/// What every token begins with, so that scanners for leaked secrets know it.
pub(crate) const PREFIX: &str = "berth_";
/// What every token of an agent begins with.
pub(crate) const AGENT_PREFIX: &str = "berth_agent_";
/// How much of a token is shown in lists: the prefix and six characters.
const SHOWN: usize = PREFIX.len() + 6;

/// The SHA-256 of a token.
pub(crate) type TokenHash = [u8; 32];

/// A new token.
///
/// # Errors
/// [`SecretsError::Random`].
pub(crate) fn generate() -> Result<Secret, SecretsError> {
    Ok(Secret::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random::<32>()?))))
}

/// A new token of an agent.
///
/// # Errors
/// [`SecretsError::Random`].
pub(crate) fn generate_for_agent() -> Result<Secret, SecretsError> {
    Ok(Secret::new(format!("{AGENT_PREFIX}{}", URL_SAFE_NO_PAD.encode(random::<32>()?))))
}

/// What is stored of a token and looked up by.
pub(crate) fn hash(token: &str) -> TokenHash {
    Sha256::digest(token.as_bytes()).into()
}

/// The hash as the tables have it.
pub(crate) fn hash_text(token: &str) -> String {
    hex(&hash(token))
}

/// What is shown of a token.
pub(crate) fn shown(token: &Secret) -> String {
    token.expose().chars().take(SHOWN).collect()
}

/// What is shown of an agent's token: its prefix and six characters.
pub(crate) fn shown_of_agent(token: &Secret) -> String {
    token.expose().chars().take(AGENT_PREFIX.len() + 6).collect()
}
