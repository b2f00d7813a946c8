//! What a droplet does when it first starts: it runs the one line that enrols it. Whatever runs on it can read this later, so the
//! token in that line is good once and for an hour, and nothing else in here is secret.

use digitalocean::MAX_USER_DATA;
use domain::secret::Secret;
use serde_json::json;

/// More bytes than the provider takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the droplet's user data would have {0} bytes, and {MAX_USER_DATA} is the most")]
pub(crate) struct TooLarge(pub(crate) usize);

/// The user data that runs `command`, a few times until it succeeds: the network may not be there at first.
///
/// # Errors
/// [`TooLarge`].
pub(crate) fn cloud_init(command: &str) -> Result<Secret, TooLarge> {
    // A pipe whose first part fails has failed too, for which `sh` has no option everywhere.
    let script = format!("for try in 1 2 3 4 5 6; do {command} && exit 0; sleep 10; done; exit 1");
    // JSON is YAML, and needs no rules of its own for what is to be escaped.
    let config = json!({
        "ssh_pwauth": false,
        "runcmd": [["bash", "-o", "pipefail", "-c", script]],
    });
    let text = format!("#cloud-config\n{config}\n");
    if MAX_USER_DATA < text.len() {
        return Err(TooLarge(text.len()));
    }
    Ok(Secret::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_arrives_as_it_is() {
        let line = "curl -fsSL 'https://berth.example/enrol' | sh -s -- --token \"ä\\n: #{}\" $HOME";
        let text = cloud_init(line).unwrap();
        let (head, body) = text.expose().split_once('\n').unwrap();
        assert_eq!(head, "#cloud-config");
        let config: serde_json::Value = serde_json::from_str(body).unwrap();
        let script = config["runcmd"][0][4].as_str().unwrap();
        assert!(script.contains(line), "{script}");
        assert_eq!(config["ssh_pwauth"], false);
    }

    #[test]
    fn what_is_too_long_is_not_sent() {
        assert!(cloud_init(&"x".repeat(MAX_USER_DATA - 300)).is_ok());
        let TooLarge(bytes) = cloud_init(&"x".repeat(MAX_USER_DATA)).unwrap_err();
        assert!(MAX_USER_DATA < bytes);
    }
}
