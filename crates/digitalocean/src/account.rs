//! The account behind the token: whether it may have machines, and how many.

use serde::Deserialize;

use crate::client::Client;
use crate::errors::Error;
use crate::words::words;

words! {
    /// Whether the account may do anything.
    AccountStatus {
        /// All is well.
        Active = "active",
        /// Something is to be settled; `status_message` says what.
        Warning = "warning",
        /// Nothing can be created.
        Locked = "locked",
    }
}

/// The account.
#[derive(Debug, Clone, Deserialize)]
pub struct Account {
    /// How many droplets it may have at a time.
    pub droplet_limit: u64,
    /// Whether it may do anything.
    pub status: AccountStatus,
    /// Why its status is what it is.
    #[serde(default)]
    pub status_message: String,
    /// Its id.
    pub uuid: String,
    /// The address it is registered with.
    pub email: String,
    /// Whether that address was confirmed; nothing can be created before.
    #[serde(default)]
    pub email_verified: bool,
}

impl Client {
    /// The account behind the token.
    pub async fn account(&self) -> Result<Account, Error> {
        self.read("account", &["account"]).await
    }
}
