//! Whom the operator wants told of what is broken: web hooks and e-mail addresses, from the options of the server.
//!
//! A receiver's address may be a secret, as those of chats are. So it is known by a digest in tables, and by its host to people.

mod mail;
mod webhook;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use domain::alerts::DEBOUNCE;
use domain::secret::Secret;
use domain::time::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use store::alerts::AlertRow;
use store::alerts::deliveries::Said;

use crate::secrets::hex;
use mail::Mail;
use webhook::Webhook;

/// How long a receiver has to take a message.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest text of a message, in characters: what servers say can be long.
const LONGEST: usize = 1000;

/// What was typed about alerts.
#[derive(Debug, Clone, Default)]
pub struct AlertOptions {
    /// Where messages are posted.
    pub webhooks: Vec<Secret>,
    /// What those posts are signed with.
    pub webhook_secret: Option<Secret>,
    /// Whom messages are mailed to.
    pub mail_to: Vec<String>,
    /// From whom; absent: the user of the mail server.
    pub mail_from: Option<String>,
    /// The mail server.
    pub smtp: Option<String>,
    /// The password of its user.
    pub smtp_password: Option<Secret>,
    /// How long something is broken before it is told; absent: [`DEBOUNCE`].
    pub debounce: Option<Duration>,
}

/// An option that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("`{option}`: {problem}")]
pub struct ReceiverError {
    /// Which.
    pub option: &'static str,
    /// What is wrong with it. An address of a web hook is not repeated.
    pub problem: String,
    /// What to do.
    pub hint: &'static str,
}

/// Whom to tell. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Receivers {
    list: Arc<Vec<Receiver>>,
    /// How long something is broken before it is told.
    pub(crate) debounce: Duration,
}

impl Default for Receivers {
    fn default() -> Self {
        Self { list: Arc::default(), debounce: DEBOUNCE }
    }
}

impl Receivers {
    /// Looks whether the options can be used. Nobody is asked yet.
    ///
    /// # Errors
    /// [`ReceiverError`] of the first that cannot.
    pub fn new(options: &AlertOptions) -> Result<Self, ReceiverError> {
        let mut list = webhook::all(&options.webhooks, options.webhook_secret.as_ref())?;
        list.extend(mail::all(options)?);
        Ok(Self { list: Arc::new(list), debounce: options.debounce.unwrap_or(DEBOUNCE) })
    }

    /// All of them.
    pub(crate) fn all(&self) -> &[Receiver] {
        &self.list
    }
}

/// One of them.
pub(crate) struct Receiver {
    /// How tables know it.
    pub(crate) key: String,
    /// How people know it.
    pub(crate) label: String,
    way: Way,
}

enum Way {
    Webhook(Webhook),
    Mail(Box<Mail>),
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Receiver").field(&self.label).finish()
    }
}

impl Receiver {
    fn new(kind: &str, address: &str, label: String, way: Way) -> Self {
        let digest = hex(&Sha256::digest(address.as_bytes()));
        Self { key: format!("{kind}:{}", digest.get(..32).unwrap_or_default()), label, way }
    }

    /// Gives it a message.
    ///
    /// # Errors
    /// Why it did not take it, without its address.
    pub(crate) async fn send(&self, message: &Message, at: Timestamp) -> Result<(), String> {
        let sent = async {
            match &self.way {
                Way::Webhook(webhook) => webhook.send(message, at).await,
                Way::Mail(mail) => mail.send(message).await,
            }
        };
        match tokio::time::timeout(PATIENCE, sent).await {
            Ok(sent) => sent,
            Err(_) => Err(format!("it did not answer within {} s", PATIENCE.as_secs())),
        }
    }
}

/// What a receiver is told. The shape is documented in `docs/alerts.md`, and others read it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Message {
    /// The same whenever the same is sent again.
    #[serde(skip)]
    pub(crate) id: String,
    /// `alert.broken`, `alert.healed`, `alert.test`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// RFC 3339.
    timestamp: String,
    /// The whole of it in one sentence.
    pub(crate) text: String,
    data: Value,
}

impl Message {
    /// About an alert.
    pub(crate) fn about(alert: &AlertRow, said: Said, account: &str, url: &str) -> Self {
        let told = alert.trouble.told_at.unwrap_or(alert.trouble.broken_since);
        let (kind, at, text) = match said {
            Said::Broken => ("alert.broken", told, format!("Berth: {}", alert.message)),
            Said::Healed => {
                let at = alert.healed_at.unwrap_or(told);
                let seconds = at.micros_since(alert.trouble.broken_since) / 1_000_000;
                ("alert.healed", at, format!("Berth: over after {seconds} s: {}", alert.message))
            }
        };
        let healed_at = alert.healed_at.filter(|_| said == Said::Healed);
        Self {
            id: format!("{}-{}", alert.id, said.word()),
            kind,
            timestamp: at.to_string(),
            text: text.chars().take(LONGEST).collect(),
            data: json!({
                "alert": alert.id,
                "kind": alert.kind,
                "account": account,
                "subject": { "id": alert.subject, "name": alert.subject_name },
                "environment": alert.environment_name,
                "broken_since": alert.trouble.broken_since.to_string(),
                "healed_at": healed_at.map(|at| at.to_string()),
                "berth": url,
            }),
        }
    }

    /// One that says nothing but that it arrives.
    pub(crate) fn test(id: impl fmt::Display, by: &str, account: &str, url: &str, at: Timestamp) -> Self {
        Self {
            id: format!("{id}-test"),
            kind: "alert.test",
            timestamp: at.to_string(),
            text: format!("Berth: a test of alerts, sent by {by}"),
            data: json!({ "account": account, "berth": url }),
        }
    }

    /// As JSON.
    fn body(&self) -> Result<Vec<u8>, String> {
        serde_json::to_vec(self).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests;
