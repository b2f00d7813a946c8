//! The certificate of the public address, from an authority that speaks ACME (RFC 8555): asked for in the background, and again after two
//! thirds of its life. It proves the name on the TLS listener itself (`tls-alpn-01`, RFC 8737), so no other port need be open.

mod order;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use api::server::{Certificate, CertificateState};
use hop::tls::Obtained;
use tokio_util::sync::CancellationToken;

use self::order::AcmeError;

/// Waits after failures. Authorities count failures: Let's Encrypt takes five an hour for a name.
const WAITS: [Duration; 5] = [
    Duration::from_secs(5),
    Duration::from_mins(1),
    Duration::from_mins(20),
    Duration::from_hours(1),
    Duration::from_hours(6),
];
/// An authority that wants fewer requests is asked again after this.
const LIMITED: Duration = Duration::from_hours(1);
/// The clock is looked at so often: it may be set, and a machine may sleep.
const LOOK: Duration = Duration::from_hours(1);
/// One try takes at most so long.
const PATIENCE: Duration = Duration::from_mins(3);

/// What is needed to ask an authority.
#[derive(Debug, Clone)]
pub struct Acme {
    /// Where the authority writes when something is wrong with the account.
    pub email: String,
    /// The authority's directory, such as `https://acme-v02.api.letsencrypt.org/directory`.
    pub directory: String,
    /// The authority behind the directory's own certificate, in PEM; absent: those of the machine.
    pub root: Option<PathBuf>,
    /// The name that is certified.
    pub name: String,
    /// Where the account's key is kept, mode 0600.
    pub dir: PathBuf,
    /// What the TLS listener shows.
    pub shown: Arc<Obtained>,
}

/// How it stands, for whoever asks.
#[derive(Debug)]
pub(crate) struct AcmeStatus(Mutex<Certificate>);

impl AcmeStatus {
    pub(crate) fn new(acme: &Acme) -> Self {
        Self(Mutex::new(Certificate {
            name: acme.name.clone(),
            directory: acme.directory.clone(),
            state: CertificateState::Waiting,
            expires_at: None,
            next_try_at: None,
            message: None,
            hint: None,
        }))
    }

    pub(crate) fn view(&self) -> Certificate {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, change: impl FnOnce(&mut Certificate)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Keeps the certificate good until `stop`.
pub(crate) async fn run(acme: Acme, status: Arc<AcmeStatus>, stop: CancellationToken) {
    let mut failures = 0;
    let mut said = String::new();
    loop {
        let lifetime = acme.shown.lifetime(&acme.name);
        let renewal = lifetime.map(|lifetime| lifetime.renewal());
        let wait = renewal.and_then(|at| at.duration_since(SystemTime::now()).ok());
        let wait = if let Some(wait) = wait {
            status.change(|shown| {
                shown.state = CertificateState::Valid;
                shown.expires_at = lifetime.map(|lifetime| lifetime.ends.into());
                shown.next_try_at = renewal.map(Into::into);
                (shown.message, shown.hint) = (None, None);
            });
            wait.min(LOOK)
        } else {
            let tried = tokio::select! {
                tried = tokio::time::timeout(PATIENCE, order::obtain(&acme)) => tried,
                () = stop.cancelled() => return,
            };
            acme.shown.end_challenge(&acme.name);
            match tried.unwrap_or(Err(AcmeError::TooSlow)) {
                Ok(lifetime) => {
                    tracing::info!(name = acme.name, expires = %at(lifetime.ends), "the authority gave a certificate");
                    failures = 0;
                    said.clear();
                    // One that would be renewed at once must not be ordered in a circle.
                    WAITS[0]
                }
                Err(error) => {
                    failures += 1;
                    let wait = wait_after(failures, &error);
                    let (message, hint) = (error.to_string(), error.advice(&acme));
                    if said != message {
                        tracing::warn!(
                            name = acme.name,
                            error = message,
                            hint,
                            "there is no certificate from the authority; what was shown before is shown, and it is asked again"
                        );
                        said.clone_from(&message);
                    }
                    status.change(|shown| {
                        shown.state = CertificateState::Failing;
                        shown.expires_at = lifetime.map(|lifetime| lifetime.ends.into());
                        shown.next_try_at = Some((SystemTime::now() + wait).into());
                        shown.message = Some(message);
                        shown.hint = Some(hint);
                    });
                    wait
                }
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => return,
        }
    }
}

fn wait_after(failures: usize, error: &AcmeError) -> Duration {
    let wait = WAITS[failures.saturating_sub(1).min(WAITS.len() - 1)];
    if error.is_limit() { wait.max(LIMITED) } else { wait }
}

fn at(time: SystemTime) -> domain::time::Timestamp {
    time.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits() {
        let seconds = |failures, error: &AcmeError| wait_after(failures, error).as_secs();
        let slow: Vec<u64> = (1..=7).map(|failures| seconds(failures, &AcmeError::TooSlow)).collect();
        assert_eq!(slow, [5, 60, 1200, 3600, 21600, 21600, 21600]);
        let limited = AcmeError::Refused { kind: "rateLimited".to_owned(), detail: String::new() };
        assert_eq!((seconds(1, &limited), seconds(5, &limited)), (3600, 21600));
    }
}
