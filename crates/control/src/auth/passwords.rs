//! Passwords as hashes: argon2id (RFC 9106), in the strength that OWASP names for servers (19 MiB, two passes, one lane).
//!
//! A hash costs its memory and some ten milliseconds of a core, so few are computed at once and few wait: whoever floods the sign-in is
//! told to come back, and nobody else's calls notice it.

use api::errors::ErrorCode;
use argon2::password_hash::{Error, PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use domain::secret::Secret;
use tokio::sync::Semaphore;

use crate::app::{Outcome, Problem};
use crate::secrets::random;

/// The shortest password, in characters; there is no rule but length (NIST SP 800-63B §3.1.1).
pub(crate) const SHORTEST: usize = 12;
/// The longest, in bytes: a hash of more would be somebody else's work for nothing.
pub(crate) const LONGEST: usize = 1024;
/// Hashes that are computed at once.
const AT_ONCE: usize = 2;
/// Who waits for that, those at work included.
const WAITING: usize = 34;
/// A hash of no password that anybody has, in the strength of [`hasher`]: what is compared where there is none, so that an unknown name
/// takes as long as a known one.
const NOBODYS: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$YmVydGgtaGFzLW5vLXNhbA$q0mZb3V0aGVyZWlzbm9wYXNzd29yZGZvcnRoaXNvbmU";

/// Hashes and compares passwords. One per process.
#[derive(Debug)]
pub(crate) struct Passwords {
    at_once: Semaphore,
    waiting: Semaphore,
}

impl Default for Passwords {
    fn default() -> Self {
        Self { at_once: Semaphore::new(AT_ONCE), waiting: Semaphore::new(WAITING) }
    }
}

impl Passwords {
    /// The PHC string of a password.
    ///
    /// # Errors
    /// 503 while too many are at it.
    pub(crate) async fn hash(&self, password: &Secret) -> Outcome<Secret> {
        let (password, salt) = (password.clone(), random::<16>()?);
        let made = self.work(move || {
            hasher().hash_password_with_salt(password.expose().as_bytes(), &salt).map(|made| made.to_string())
        });
        match made.await? {
            Ok(text) => Ok(Secret::new(text)),
            Err(error) => Err(Problem::Failed(format!("a password could not be hashed: {error}").into())),
        }
    }

    /// Whether a password is that of a hash. Without a hash it is not, after the same work.
    ///
    /// # Errors
    /// 503 while too many are at it.
    pub(crate) async fn is(&self, password: &Secret, hash: Option<&Secret>) -> Outcome<bool> {
        let (password, hash) = (password.clone(), hash.cloned());
        let is_known = hash.is_some();
        let compared = self.work(move || {
            let hash = hash.as_ref().map_or(NOBODYS, Secret::expose);
            hasher().verify_password(password.expose().as_bytes(), hash)
        });
        match compared.await? {
            Ok(()) => Ok(is_known),
            Err(Error::PasswordInvalid) => Ok(false),
            Err(error) => Err(Problem::Failed(format!("a password could not be compared: {error}").into())),
        }
    }

    async fn work<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Outcome<T> {
        let busy = || {
            Problem::refused(ErrorCode::Unavailable, "too many people sign in at this moment")
                .hint("try again in some seconds")
        };
        let _waits = self.waiting.try_acquire().map_err(|_| busy())?;
        let _works = self.at_once.acquire().await.map_err(|_| busy())?;
        tokio::task::spawn_blocking(work).await.map_err(|error| Problem::Failed(Box::new(error)))
    }
}

/// Whether a text may be a password of somebody with those names.
///
/// # Errors
/// 422 with the field `password`.
pub(crate) fn check(password: &Secret, names: &[&str]) -> Outcome<()> {
    let text = password.expose();
    let refused = |message: String| Err(Problem::invalid("password", message));
    if text.chars().count() < SHORTEST {
        return refused(format!(
            "a password has at least {SHORTEST} characters: some words in a row are a good one"
        ));
    }
    if LONGEST < text.len() {
        return refused(format!("a password has at most {LONGEST} bytes"));
    }
    let first = text.chars().next();
    if text.chars().all(|c| Some(c) == first) || names.iter().any(|name| name.eq_ignore_ascii_case(text)) {
        return refused("this password is the first that anybody would try".to_owned());
    }
    Ok(())
}

fn hasher() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hash_is_of_its_password_alone() {
        let passwords = Passwords::default();
        let password = Secret::new("correct horse battery staple");
        let (one, two) = (passwords.hash(&password).await.unwrap(), passwords.hash(&password).await.unwrap());
        assert_ne!(one, two, "each has a salt of its own");
        assert!(one.expose().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", one.expose());
        assert!(passwords.is(&password, Some(&one)).await.unwrap());
        for other in [
            "correct horse battery stapl",
            "",
            "Correct horse battery staple",
            "correct horse battery staple ",
        ] {
            assert!(!passwords.is(&Secret::new(other), Some(&one)).await.unwrap(), "{other}");
        }
        assert!(!passwords.is(&password, None).await.unwrap());
        let damaged = Secret::new("no hash");
        assert!(passwords.is(&password, Some(&damaged)).await.is_err(), "a damaged row lets nobody in");
    }

    /// What is compared for an unknown name costs what a real hash costs.
    #[tokio::test]
    async fn nobodys_hash_is_of_the_same_strength() {
        let made = Passwords::default().hash(&Secret::new("correct horse battery staple")).await.unwrap();
        let strength = |hash: &str| hash.split('$').take(4).map(str::to_owned).collect::<Vec<_>>();
        let sizes = |hash: &str| hash.split('$').skip(4).map(str::len).collect::<Vec<_>>();
        assert_eq!(strength(NOBODYS), strength(made.expose()));
        assert_eq!(sizes(NOBODYS), sizes(made.expose()));
        let error = hasher().verify_password(b"x", NOBODYS).unwrap_err();
        assert!(matches!(error, Error::PasswordInvalid), "{error}");
    }

    #[tokio::test]
    async fn a_flood_is_turned_away_and_not_queued() {
        let passwords = std::sync::Arc::new(Passwords::default());
        let _all = passwords.at_once.acquire_many(2).await.unwrap();
        let wait: Vec<_> = (0..WAITING)
            .map(|_| {
                let passwords = std::sync::Arc::clone(&passwords);
                tokio::spawn(async move { passwords.is(&Secret::new("x"), None).await })
            })
            .collect();
        while 0 < passwords.waiting.available_permits() {
            tokio::task::yield_now().await;
        }
        let refused = passwords.is(&Secret::new("x"), None).await.unwrap_err();
        assert!(
            matches!(&refused, Problem::Refused(detail) if detail.code == ErrorCode::Unavailable),
            "{refused}"
        );
        wait.iter().for_each(tokio::task::JoinHandle::abort);
    }

    #[test]
    fn what_may_be_a_password() {
        let check = |text: &str, ok: bool| {
            assert_eq!(check(&Secret::new(text), &["administrator", "me@example.com"]).is_ok(), ok, "{text}");
        };
        check("correct horse", true);
        check("ein Passwort mit Ümläuten", true);
        check("elevenchars", false);
        check("aaaaaaaaaaaaaaaaaa", false);
        check("Administrator", false);
        check("me@example.COM", false);
        check("", false);
        check(&"ab".repeat(LONGEST / 2), true);
        check(&"ab".repeat(LONGEST), false);
    }
}
