//! Images for an engine that reaches no registry: a pass for each pull, under whose name the engine asks a loopback address of
//! this host for the image. Who answers there, and where the image comes from, is not for here.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::image::{ImageName, is_digest};

use crate::error::RuntimeError;
use crate::store::hexadecimal;

/// The passes of the pulls that are under way.
#[derive(Debug)]
pub struct Passes {
    address: SocketAddr,
    open: Mutex<HashMap<String, Open>>,
}

#[derive(Debug)]
struct Open {
    image: ImageName,
    trouble: Option<Trouble>,
}

/// Why an image did not come, in the words of whoever was asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// The registry wants credentials, or others.
    Credentials,
    /// There is none of this name, or none that is shown.
    Unknown(String),
    /// Nobody answered.
    Away(String),
    /// Something else.
    Other(String),
}

impl Passes {
    /// None yet, for an address of this host that the engine reaches. It must be a loopback address: of no other does an engine
    /// take images without TLS.
    pub fn new(address: SocketAddr) -> Arc<Self> {
        Arc::new(Self { address, open: Mutex::default() })
    }

    /// The image that the engine asks for under a key; `None` for what is no key of a pull that is under way.
    pub fn image(&self, key: &str) -> Option<ImageName> {
        self.opened().get(key).map(|open| open.image.clone())
    }

    /// Notes how the last question of a pull was answered: the engine's own words say less.
    pub fn note(&self, key: &str, trouble: Option<Trouble>) {
        if let Some(open) = self.opened().get_mut(key) {
            open.trouble = trouble;
        }
    }

    /// Lets the engine ask for an image, until the pass is dropped.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn open(self: &Arc<Self>, image: ImageName) -> Result<Pass, RuntimeError> {
        // 128 bits that nobody guesses: other programs of this host reach the address too.
        let mut random = [0; 16];
        getrandom::fill(&mut random)
            .map_err(|e| RuntimeError::io("read", "/dev/urandom")(std::io::Error::other(e)))?;
        let key = hexadecimal(&random);
        self.opened().insert(key.clone(), Open { image, trouble: None });
        Ok(Pass { passes: Arc::clone(self), key })
    }

    fn opened(&self) -> MutexGuard<'_, HashMap<String, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one pull may ask for.
#[derive(Debug)]
pub struct Pass {
    passes: Arc<Passes>,
    key: String,
}

impl Pass {
    /// Where the engine asks, in the shape of a repository's name.
    pub fn repository(&self) -> String {
        format!("{}/{}", self.passes.address, self.key)
    }

    /// What the engine calls the image once it is pulled.
    pub fn name(&self, reference: &str) -> String {
        let between = if is_digest(reference) { '@' } else { ':' };
        format!("{}{between}{reference}", self.repository())
    }

    /// Why the image did not come, as far as anybody said.
    pub fn trouble(&self) -> Option<Trouble> {
        self.passes.opened().get(&self.key)?.trouble.clone()
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.passes.opened().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_is_for_one_image_and_ends_with_its_pull() {
        let passes = Passes::new(([127, 0, 0, 1], 7).into());
        let image: ImageName = "ghcr.io/a/b:1".parse().unwrap();
        let pass = passes.open(image.clone()).unwrap();
        let other = passes.open("nginx".parse().unwrap()).unwrap();
        let repository = pass.repository();
        let key = repository.strip_prefix("127.0.0.1:7/").unwrap().to_owned();
        assert!(
            key.len() == 32 && key.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase()),
            "{key}"
        );
        assert_eq!(pass.name("1"), format!("{repository}:1"));
        let digest = format!("sha256:{}", "0".repeat(64));
        assert_eq!(pass.name(&digest), format!("{repository}@{digest}"));
        assert_eq!(passes.image(&key), Some(image));

        passes.note(&key, Some(Trouble::Credentials));
        assert_eq!((pass.trouble(), other.trouble()), (Some(Trouble::Credentials), None));
        passes.note(&key, None);
        assert_eq!(pass.trouble(), None);
        drop(pass);
        assert_eq!((passes.image(&key), passes.image("")), (None, None));
        assert_ne!(passes.image(&other.key), None);
    }
}
