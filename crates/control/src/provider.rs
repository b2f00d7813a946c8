//! DigitalOcean as the control plane uses it: the client, how what is ours is known there, and its errors in our words.

use std::time::Duration;

use api::droplets::DropletOptions;
use api::errors::ErrorCode;
use digitalocean::{Client, Error, SettingsError, Tag, TagError};
use domain::ids::EnvironmentId;
use domain::provisioning::Limits;

use crate::app::Problem;
use crate::config::DigitalOcean;

/// On everything that Berth makes there.
const TAG: &str = "berth";
/// Before an environment's id: on its droplet alone, so it tells whether a creation happened.
const OPERATION: &str = "berth-env-";
/// How long somebody waits in a request for what the provider has.
const PATIENCE: Duration = Duration::from_secs(15);

/// The provider.
#[derive(Debug)]
pub(crate) struct Provider {
    /// For reconcilers.
    pub(crate) client: Client,
    /// For requests that somebody waits for.
    pub(crate) quick: Client,
    /// How long each step may take.
    pub(crate) limits: Limits,
    /// Between two looks.
    pub(crate) period: Duration,
    /// What there was to choose from when a page was last made, and when that was.
    pub(crate) offered: tokio::sync::Mutex<Option<(std::time::Instant, DropletOptions)>>,
}

impl Provider {
    /// Nothing is asked yet.
    ///
    /// # Errors
    /// When the machine has no certificates to trust.
    pub(crate) fn new(config: DigitalOcean) -> Result<Self, SettingsError> {
        let mut quick = config.settings.clone();
        quick.give_up_after = quick.give_up_after.min(PATIENCE);
        quick.answer_within = quick.answer_within.min(PATIENCE);
        Ok(Self {
            client: Client::new(config.settings)?,
            quick: Client::new(quick)?,
            limits: config.limits,
            period: config.period,
            offered: tokio::sync::Mutex::default(),
        })
    }
}

/// The tag of everything that Berth makes.
///
/// # Errors
/// Never in practice.
pub(crate) fn common_tag() -> Result<Tag, TagError> {
    Tag::new(TAG)
}

/// The tag of one environment's droplet.
///
/// # Errors
/// Never in practice.
pub(crate) fn operation_tag(id: EnvironmentId) -> Result<Tag, TagError> {
    Tag::new(&operation(id))
}

/// The name of one environment's firewall, and the text of its tag.
pub(crate) fn operation(id: EnvironmentId) -> String {
    format!("{OPERATION}{id}")
}

/// The environment that a tag is of.
pub(crate) fn environment_of(tag: &str) -> Option<EnvironmentId> {
    // Of the same word in large and small letters there is one tag only.
    let small = tag.to_ascii_lowercase();
    small.strip_prefix(OPERATION)?.parse().ok()
}

/// What to do about an error, for people.
pub(crate) fn advice(error: &Error) -> &'static str {
    match error {
        Error::TokenRefused(_) => {
            "make a token at https://cloud.digitalocean.com/account/api/tokens, start the control plane with it in \
             DIGITALOCEAN_TOKEN"
        }
        Error::MissingScope { .. } => {
            "give the token in DIGITALOCEAN_TOKEN full access, or the scopes account, actions, droplet, firewall, image, \
             regions, sizes, ssh_key and tag that docs/digitalocean.md lists"
        }
        Error::LimitReached(_) => {
            "destroy a droplet that is not needed, or have DigitalOcean raise the limit at \
             https://cloud.digitalocean.com/account/team/droplet_limit_increase"
        }
        Error::Invalid { .. } | Error::Unsendable { .. } | Error::NotFound(_) => {
            "`berth env options digitalocean` lists what there is"
        }
        _ => "try again shortly; https://status.digitalocean.com says what is known",
    }
}

/// An error as the answer to a request.
pub(crate) fn problem(error: &Error) -> Problem {
    let problem = match error {
        Error::LimitReached(_) => Problem::refused(ErrorCode::Conflict, error),
        Error::Invalid { field, .. } => Problem::invalid(field.unwrap_or("kind"), error),
        Error::Unsendable { field, .. } => Problem::invalid(*field, error),
        _ => Problem::refused(ErrorCode::Unavailable, error),
    };
    problem.hint(advice(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_back() {
        let id = EnvironmentId::generate();
        let tag = operation_tag(id).unwrap();
        assert_eq!(environment_of(tag.as_str()), Some(id));
        assert_eq!(environment_of(&tag.as_str().to_uppercase()), Some(id));
        for other in ["berth", "berth-env-", "berth-env-x", &id.to_string()] {
            assert_eq!(environment_of(other), None, "{other}");
        }
    }
}
