//! Posting messages, signed as Standard Webhooks has it (`webhook-id`, `webhook-timestamp`, `webhook-signature`), so that receivers
//! can check them with a library that is there.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::secret::Secret;
use domain::time::Timestamp;
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::{Url, header};
use sha2::Sha256;

use super::{Message, PATIENCE, Receiver, ReceiverError, Way};
use crate::app::problem::Chain;

/// What begins a secret that is base64 of the key, as Standard Webhooks writes it. Any other text is the key itself.
const ENCODED: &str = "whsec_";
/// A shorter key could be guessed, in bytes.
const LEAST_KEY: usize = 16;

/// One address.
pub(super) struct Webhook {
    http: reqwest::Client,
    url: Url,
    key: Option<Secret>,
}

/// The receivers of these addresses.
pub(super) fn all(urls: &[Secret], secret: Option<&Secret>) -> Result<Vec<Receiver>, ReceiverError> {
    if urls.is_empty() {
        return match secret {
            None => Ok(Vec::new()),
            Some(_) => Err(ReceiverError {
                option: "--alert-secret-file",
                problem: "there is nothing to sign".to_owned(),
                hint: "say where messages go with `--alert-webhook URL`",
            }),
        };
    }
    if let Some(secret) = secret {
        check(secret)?;
    }
    // Redirects are not followed: who is told is the operator's choice, and not whoever answers there.
    let http = reqwest::Client::builder()
        .timeout(PATIENCE)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("berth/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| ReceiverError {
            option: "--alert-webhook",
            problem: Chain(&error).to_string(),
            hint: "look at this machine's certificates",
        })?;
    urls.iter()
        .map(|text| {
            let url = parse(text.expose())?;
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            let label = format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default());
            let webhook = Webhook { http: http.clone(), url, key: secret.cloned() };
            Ok(Receiver::new("webhook", text.expose(), label, Way::Webhook(webhook)))
        })
        .collect()
}

fn parse(text: &str) -> Result<Url, ReceiverError> {
    let wrong = |problem: String| ReceiverError {
        option: "--alert-webhook",
        problem,
        hint: "give the address that messages are posted to, such as https://chat.example.com/hooks/…",
    };
    let url = Url::parse(text).map_err(|error| wrong(format!("that is no address ({error})")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong(format!("messages are posted over http or https, not `{}`", url.scheme())));
    }
    Ok(url)
}

/// The key that a secret is.
fn key_of(secret: &Secret) -> Option<Vec<u8>> {
    match secret.expose().strip_prefix(ENCODED) {
        Some(encoded) => STANDARD.decode(encoded).ok(),
        None => Some(secret.expose().as_bytes().to_vec()),
    }
}

fn check(secret: &Secret) -> Result<(), ReceiverError> {
    let problem = match key_of(secret) {
        None => format!("what follows `{ENCODED}` is no base64"),
        Some(key) if key.len() < LEAST_KEY => format!("a secret has at least {LEAST_KEY} bytes"),
        Some(_) => return Ok(()),
    };
    Err(ReceiverError {
        option: "--alert-secret-file",
        problem,
        hint: "make one with `openssl rand -hex 32`, and give the receiver the same",
    })
}

impl Webhook {
    pub(super) async fn send(&self, message: &Message, at: Timestamp) -> Result<(), String> {
        let body = message.body()?;
        let seconds = (at.0 / 1_000_000).to_string();
        let mut request = self
            .http
            .post(self.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header("webhook-id", &message.id)
            .header("webhook-timestamp", &seconds);
        if let Some(secret) = &self.key {
            let signature = sign(secret, &message.id, &seconds, &body).ok_or("its secret cannot be used")?;
            request = request.header("webhook-signature", signature);
        }
        // The address may be a secret.
        let answer =
            request.body(body).send().await.map_err(|error| Chain(&error.without_url()).to_string())?;
        if answer.status().is_success() { Ok(()) } else { Err(format!("it answered {}", answer.status())) }
    }
}

/// `v1,` and the base64 of HMAC-SHA256 over id, time and body.
pub(super) fn sign(secret: &Secret, id: &str, seconds: &str, body: &[u8]) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(&key_of(secret)?).ok()?;
    for part in [id.as_bytes(), b".", seconds.as_bytes(), b".", body] {
        mac.update(part);
    }
    Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}
