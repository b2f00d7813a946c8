//! Access tokens: JWTs as RFC 9068 has them, signed with ES256 by a key that every control plane of the installation reads from
//! the database. One is good for one resource, and as long as its grant is.

use std::collections::HashMap;

use arc_swap::ArcSwapOption;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::ids::{AccountId, GrantId, SigningKeyId, UserId};
use domain::secret::Secret;
use domain::time::Timestamp;
use gateway::AuthError;
use jsonwebtoken::jwk::{Jwk, JwkSet, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use store::oauth::keys::KeyRow;
use uuid::Uuid;

use crate::secrets::{MasterKey, SecretsError};

/// How long one is good, in seconds. Revoking its grant ends it within seconds all the same.
pub(crate) const LIFE: i64 = 3600;
/// The type that its header names, so that no other JWT of ours is taken for one (RFC 9068 §2.1).
const TYPE: &str = "at+jwt";
/// A key signs from this many seconds on, so that every control plane has read it before.
const SETTLE: i64 = 60;

/// What one says (RFC 9068 §2.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    /// This installation.
    pub(crate) iss: String,
    /// Whose it is.
    pub(crate) sub: UserId,
    /// The resource that it is for, in its canonical form.
    pub(crate) aud: String,
    /// Which client has it.
    pub(crate) client_id: String,
    /// What it is for, with spaces between.
    pub(crate) scope: String,
    /// When it was made, in seconds since 1970.
    pub(crate) iat: i64,
    /// When it ends, in seconds since 1970.
    pub(crate) exp: i64,
    /// Its own id.
    pub(crate) jti: Uuid,
    /// The account that it opens.
    pub(crate) account: AccountId,
    /// The grant that it was made of.
    pub(crate) grant: GrantId,
}

/// The keys that sign and verify them.
pub(crate) struct AccessTokens {
    issuer: String,
    ring: ArcSwapOption<Ring>,
}

struct Ring {
    signing: (SigningKeyId, EncodingKey),
    verifying: HashMap<String, DecodingKey>,
    public: JwkSet,
}

impl std::fmt::Debug for AccessTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessTokens").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// Why there is no key to sign with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    /// It does not open.
    #[error(transparent)]
    Sealed(#[from] SecretsError),
    /// What was sealed is no key.
    #[error(
        "a key for access tokens is damaged: remove its row from `oauth_keys`, and everybody signs in again"
    )]
    Damaged,
    /// None could be made.
    #[error("no key could be made")]
    Made,
}

/// A new key, sealed for its row.
///
/// # Errors
/// [`KeyError`].
pub(crate) fn generate(keys: &MasterKey, at: Timestamp) -> Result<KeyRow, KeyError> {
    let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
    let id = SigningKeyId::generate();
    let text = Secret::new(STANDARD.encode(made.map_err(|_| KeyError::Made)?.as_ref()));
    Ok(KeyRow { id, private_sealed: keys.seal(id.0, text.expose())?, created_at: at })
}

impl AccessTokens {
    /// Without keys, until [`AccessTokens::take`].
    pub(crate) fn new(issuer: &str) -> Self {
        Self { issuer: issuer.to_owned(), ring: ArcSwapOption::empty() }
    }

    /// Takes the keys there are, newest first; does nothing when they are the ones it has.
    ///
    /// # Errors
    /// [`KeyError`]; the keys it had stay.
    pub(crate) fn take(&self, rows: &[KeyRow], keys: &MasterKey, at: Timestamp) -> Result<(), KeyError> {
        let settled = rows.iter().find(|row| SETTLE * 1_000_000 <= at.micros_since(row.created_at));
        let Some(signing) = settled.or(rows.last()) else { return Ok(()) };
        let known = self.ring.load();
        let same = known.as_ref().is_some_and(|ring| {
            ring.signing.0 == signing.id
                && ring.verifying.len() == rows.len()
                && rows.iter().all(|row| ring.verifying.contains_key(&row.id.to_string()))
        });
        if same {
            return Ok(());
        }
        let (mut verifying, mut public, mut chosen) = (HashMap::new(), Vec::new(), None);
        for row in rows {
            let text = keys.unseal(row.id.0, &row.private_sealed)?;
            let der = STANDARD.decode(text.expose()).map_err(|_| KeyError::Damaged)?;
            let private = EncodingKey::from_ec_der(&der);
            let mut jwk =
                Jwk::from_encoding_key(&private, Algorithm::ES256).map_err(|_| KeyError::Damaged)?;
            jwk.common.key_id = Some(row.id.to_string());
            jwk.common.public_key_use = Some(PublicKeyUse::Signature);
            jwk.common.key_operations = Some(vec![KeyOperations::Verify]);
            verifying.insert(row.id.to_string(), DecodingKey::from_jwk(&jwk).map_err(|_| KeyError::Damaged)?);
            public.push(jwk);
            if row.id == signing.id {
                chosen = Some((row.id, private));
            }
        }
        if let Some(signing) = chosen {
            let ring = Ring { signing, verifying, public: JwkSet { keys: public } };
            self.ring.store(Some(std::sync::Arc::new(ring)));
        }
        Ok(())
    }

    /// The public keys (RFC 7517 §5).
    pub(crate) fn public(&self) -> JwkSet {
        self.ring.load().as_ref().map_or_else(|| JwkSet { keys: Vec::new() }, |ring| ring.public.clone())
    }

    /// The `iss` of all of them.
    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Signs one.
    ///
    /// # Errors
    /// [`KeyError::Made`] when there is no key yet.
    pub(crate) fn sign(&self, claims: &Claims) -> Result<Secret, KeyError> {
        let ring = self.ring.load();
        let ring = ring.as_ref().ok_or(KeyError::Made)?;
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some(TYPE.to_owned());
        header.kid = Some(ring.signing.0.to_string());
        jsonwebtoken::encode(&header, claims, &ring.signing.1).map(Secret::new).map_err(|_| KeyError::Made)
    }

    /// What a token says, when it is one of ours and not over.
    ///
    /// # Errors
    /// [`AuthError::Wrong`] for what we did not sign, whoever did; [`AuthError::Expired`].
    pub(crate) fn verify(&self, token: &str, at: Timestamp) -> Result<Claims, AuthError> {
        let wrong = |_| AuthError::Wrong;
        let header = jsonwebtoken::decode_header(token).map_err(wrong)?;
        let kid =
            header.kid.as_deref().filter(|_| header.typ.as_deref() == Some(TYPE)).ok_or(AuthError::Wrong)?;
        let ring = self.ring.load();
        let key = ring.as_ref().and_then(|ring| ring.verifying.get(kid)).ok_or(AuthError::Wrong)?;
        // One algorithm, whatever the header says (RFC 8725 §3.1). Times are compared below, with the clock that everything here has.
        let mut validation = Validation::new(Algorithm::ES256);
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.set_required_spec_claims(&["iss", "sub", "aud", "exp"]);
        validation.set_issuer(&[&self.issuer]);
        let claims = jsonwebtoken::decode::<Claims>(token, key, &validation).map_err(wrong)?.claims;
        if claims.exp.saturating_mul(1_000_000) <= at.0 {
            return Err(AuthError::Expired);
        }
        Ok(claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000_000);

    fn claims() -> Claims {
        Claims {
            iss: "https://b".to_owned(),
            sub: UserId::generate(),
            aud: "https://b/mcp/a/x".to_owned(),
            client_id: "c".to_owned(),
            scope: "mcp:call:x".to_owned(),
            iat: NOW.0 / 1_000_000,
            exp: NOW.0 / 1_000_000 + LIFE,
            jti: Uuid::now_v7(),
            account: AccountId::generate(),
            grant: GrantId::generate(),
        }
    }

    fn after(seconds: i64) -> Timestamp {
        Timestamp(NOW.0 + seconds * 1_000_000)
    }

    #[test]
    fn keys_rotate_without_a_sign_out() {
        let dir = tempfile::tempdir().unwrap();
        let master = MasterKey::open(dir.path()).unwrap();
        let tokens = AccessTokens::new("https://b");
        assert!(tokens.sign(&claims()).is_err(), "without a key");
        let first = generate(&master, NOW).unwrap();
        tokens.take(std::slice::from_ref(&first), &master, NOW).unwrap();
        let (given, old) = (claims(), tokens.sign(&claims()).unwrap());
        assert_eq!(tokens.verify(tokens.sign(&given).unwrap().expose(), NOW), Ok(given));

        let second = generate(&master, after(10)).unwrap();
        let rows = [second.clone(), first.clone()];
        let signed_by = |at| {
            tokens.take(&rows, &master, at).unwrap();
            let kid = jsonwebtoken::decode_header(tokens.sign(&claims()).unwrap().expose()).unwrap().kid;
            assert!(tokens.verify(old.expose(), at).is_ok(), "what the old one signed is good");
            kid.unwrap()
        };
        assert_eq!(signed_by(after(20)), first.id.to_string(), "others may not have read the new one yet");
        assert_eq!(signed_by(after(71)), second.id.to_string());
        assert_eq!(tokens.public().keys.len(), 2);
        let shown = serde_json::to_string(&tokens.public()).unwrap();
        assert!(!shown.contains("\"d\""), "no private key: {shown}");
        tokens.take(&[second], &master, after(80)).unwrap();
        assert_eq!(tokens.verify(old.expose(), after(80)), Err(AuthError::Wrong), "its key is gone");
    }

    #[test]
    fn what_we_did_not_sign_is_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let master = MasterKey::open(dir.path()).unwrap();
        let tokens = AccessTokens::new("https://b");
        let row = generate(&master, NOW).unwrap();
        tokens.take(std::slice::from_ref(&row), &master, NOW).unwrap();
        let other = AccessTokens::new("https://other");
        other.take(std::slice::from_ref(&row), &master, NOW).unwrap();
        let good = tokens.sign(&claims()).unwrap().expose().to_owned();
        let check = |what: &str, token: &str, at, expected| {
            assert_eq!(tokens.verify(token, at).err(), expected, "{what}");
        };
        check("good", &good, NOW, None);
        check("good to its end", &good, after(LIFE - 1), None);
        check("over", &good, after(LIFE), Some(AuthError::Expired));
        let theirs = Claims { iss: "https://other".to_owned(), ..claims() };
        check("another issuer", other.sign(&theirs).unwrap().expose(), NOW, Some(AuthError::Wrong));
        let parts: Vec<&str> = good.split('.').collect();
        let none = |header: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(header);
        let alg_none = none(&format!(r#"{{"alg":"none","typ":"at+jwt","kid":"{}"}}"#, row.id));
        check("alg none", &format!("{alg_none}.{}.", parts[1]), NOW, Some(AuthError::Wrong));
        check(
            "alg none, signed",
            &format!("{alg_none}.{}.{}", parts[1], parts[2]),
            NOW,
            Some(AuthError::Wrong),
        );
        // The public key as a secret of HMAC (RFC 8725 §2.1).
        let mut header = Header::new(Algorithm::HS256);
        header.typ = Some(TYPE.to_owned());
        header.kid = Some(row.id.to_string());
        let public = serde_json::to_vec(&tokens.public().keys[0]).unwrap();
        let hmac = jsonwebtoken::encode(&header, &claims(), &EncodingKey::from_secret(&public)).unwrap();
        check("HMAC with the public key", &hmac, NOW, Some(AuthError::Wrong));
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(row.id.to_string());
        let text = master.unseal(row.id.0, &row.private_sealed).unwrap();
        let key = EncodingKey::from_ec_der(&STANDARD.decode(text.expose()).unwrap());
        let other_type = jsonwebtoken::encode(&header, &claims(), &key).unwrap();
        check("another type of JWT", &other_type, NOW, Some(AuthError::Wrong));
        check("cut", &good[..good.len() - 3], NOW, Some(AuthError::Wrong));
        check("changed", &format!("{}.{}x.{}", parts[0], parts[1], parts[2]), NOW, Some(AuthError::Wrong));
        check("nothing", "", NOW, Some(AuthError::Wrong));
        check("dots", "..", NOW, Some(AuthError::Wrong));
    }
}
