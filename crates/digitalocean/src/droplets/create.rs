//! Creates a droplet once. The API has no key for that and names are not unique, so an operation tag is the key: what
//! carries it was created by this operation, whether its answer arrived or not.

use std::fmt;
use std::time::Duration;

use reqwest::Method;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::{Droplet, NameOrId};
use crate::client::{Call, Client};
use crate::errors::Error;
use crate::retry::Effect;
use crate::tags::Tag;

/// The most bytes of user data that the provider takes.
pub const MAX_USER_DATA: usize = 64 * 1024;
/// The longest name.
const LONGEST_NAME: usize = 255;
/// How often a creation is sent whose answers are all lost.
const MOST_CREATIONS: u32 = 3;
/// While a lost creation is looked for, the longest time between two looks.
const BETWEEN_LOOKS: Duration = Duration::from_secs(5);

/// A droplet that is wanted.
#[derive(Clone, Serialize)]
pub struct NewDroplet {
    /// Its name, which is also its host name: letters, digits, `.` and `-`.
    pub name: String,
    /// The slug of its region.
    pub region: String,
    /// The slug of its size.
    pub size: String,
    /// The slug or number of its image.
    pub image: NameOrId,
    /// Numbers or fingerprints of the keys that its root lets in. With none the provider mails a password.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ssh_keys: Vec<NameOrId>,
    /// Its tags; those that are not there are made, which takes the scope for it.
    pub tags: Vec<Tag>,
    /// What its system reads when it first starts. Every process on it can read this too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_data: Option<String>,
    /// The private network that it is to be in; `None`: its region's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_uuid: Option<String>,
    /// Whether it gets an IPv6 address.
    pub ipv6: bool,
    /// Whether the provider's agent for figures is put onto it.
    pub monitoring: bool,
    /// Whether the provider's agent for its console is; `None`: where the image knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub with_droplet_agent: Option<bool>,
}

impl NewDroplet {
    /// With nothing but what there has to be.
    pub fn new(name: &str, region: &str, size: &str, image: &str) -> Self {
        Self {
            name: name.to_owned(),
            region: region.to_owned(),
            size: size.to_owned(),
            image: image.into(),
            ssh_keys: Vec::new(),
            tags: Vec::new(),
            user_data: None,
            vpc_uuid: None,
            ipv6: false,
            monitoring: false,
            with_droplet_agent: None,
        }
    }

    /// What can be known before anything is sent.
    ///
    /// # Errors
    /// [`Error::Unsendable`] for a name that is no host name, and for user data that is too long.
    pub fn check(&self) -> Result<(), Error> {
        let unsendable = |field, reason| Err(Error::Unsendable { field, reason });
        let edge = |byte: &u8| byte.is_ascii_alphanumeric();
        let inside = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-';
        let name = self.name.as_bytes();
        let good = name.first().is_some_and(edge) && name.last().is_some_and(edge);
        if !good || LONGEST_NAME < name.len() || !name.iter().copied().all(inside) {
            let reason =
                format!("`{}` is no host name: letters, digits, `.` and `-`, at most 255", self.name);
            return unsendable("name", reason);
        }
        if let Some(data) = self.user_data.as_ref().filter(|data| MAX_USER_DATA < data.len()) {
            let reason = format!("it has {} bytes, and {MAX_USER_DATA} is the most", data.len());
            return unsendable("user_data", reason);
        }
        Ok(())
    }
}

impl fmt::Debug for NewDroplet {
    /// Without the user data: a token may be in there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewDroplet")
            .field("name", &self.name)
            .field("region", &self.region)
            .field("size", &self.size)
            .field("image", &self.image)
            .field("tags", &self.tags)
            .field("user_data", &self.user_data.as_ref().map(String::len))
            .finish_non_exhaustive()
    }
}

/// A droplet that an operation created.
#[derive(Debug, Clone)]
pub struct Created {
    /// The droplet. It is being made: it has no address yet.
    pub droplet: Droplet,
    /// The action to watch; `None` for a droplet that was found.
    pub action: Option<u64>,
    /// Whether one creation was ever sent for the operation, and answered: then no other droplet of it can appear any more.
    pub is_only: bool,
}

impl Created {
    fn found(droplet: Droplet) -> Self {
        Self { droplet, action: None, is_only: false }
    }
}

/// Whether the operation may have been sent before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Earlier {
    /// Certainly not: this is its first call.
    Never,
    /// It may have: a call failed with [`Error::Uncertain`], or nobody saw how it ended. Then the droplet is looked for as
    /// long as after a lost answer before one is created.
    Perhaps,
}

#[derive(Deserialize)]
struct Links {
    #[serde(default)]
    actions: Vec<Link>,
}

#[derive(Deserialize)]
struct Link {
    id: u64,
    #[serde(default)]
    rel: String,
}

impl Client {
    /// Creates the droplet of an operation, or finds the one that the operation created before. To call it again with the
    /// same tag is always right, with [`Earlier::Perhaps`]; nothing else may use that tag.
    ///
    /// After a lost answer it looks for what carries the tag, for [`Settings::settle`](crate::Settings::settle), before it
    /// creates again. Should the lost one appear even later, the one with the smaller number is kept and the other
    /// destroyed: here, or by the next call.
    ///
    /// # Errors
    /// [`Error::Uncertain`] when this call may have created a droplet, or not. Any other error: this call created none.
    pub async fn create_droplet(
        &self,
        wanted: &NewDroplet,
        operation: &Tag,
        earlier: Earlier,
    ) -> Result<Created, Error> {
        wanted.check()?;
        let mut wanted = wanted.clone();
        if !wanted.tags.contains(operation) {
            wanted.tags.push(operation.clone());
        }
        let found = match earlier {
            Earlier::Never => self.kept(&wanted, operation, None).await?,
            Earlier::Perhaps => self.look(&wanted, operation).await?,
        };
        if let Some(found) = found {
            return Ok(Created::found(found));
        }
        let mut lost = match self.create_once(&wanted).await {
            Err(error) if error.may_have_acted() => error,
            Ok(created) => return Ok(Created { is_only: earlier == Earlier::Never, ..created }),
            Err(error) => return Err(error),
        };
        let uncertain = |source| Error::Uncertain { tag: operation.to_string(), source: Box::new(source) };
        for _ in 1..MOST_CREATIONS {
            tracing::warn!(error = %lost, tag = %operation, "a creation's answer was lost: looking for the droplet");
            if let Some(found) = self.look(&wanted, operation).await.map_err(uncertain)? {
                return Ok(Created::found(found));
            }
            match self.create_once(&wanted).await {
                Ok(created) => {
                    // Both may have come true.
                    let id = created.droplet.id;
                    let kept = self
                        .kept(&wanted, operation, Some(created.droplet.clone()))
                        .await
                        .map_err(uncertain)?;
                    return Ok(match kept {
                        Some(droplet) if droplet.id != id => Created::found(droplet),
                        _ => created,
                    });
                }
                Err(error) if error.may_have_acted() => lost = error,
                Err(error) => return Err(uncertain(error)),
            }
        }
        match self.look(&wanted, operation).await.map_err(uncertain)? {
            Some(found) => Ok(Created::found(found)),
            None => Err(uncertain(lost)),
        }
    }

    async fn create_once(&self, wanted: &NewDroplet) -> Result<Created, Error> {
        let answer = self.send(Call::new(Method::POST, Effect::Once, &["droplets"]).body(wanted)?).await?;
        let mut members = answer.members()?;
        let droplet = answer.member(&mut members, "droplet")?;
        let links: Links = answer.member(&mut members, "links")?;
        let action = links.actions.iter().find(|link| link.rel == "create").map(|link| link.id);
        Ok(Created { droplet, action, is_only: false })
    }

    /// Looks until something carries the tag, or long enough.
    async fn look(&self, wanted: &NewDroplet, operation: &Tag) -> Result<Option<Droplet>, Error> {
        let deadline = Instant::now() + self.settings.settle;
        let mut wait = self.settings.first_wait;
        loop {
            if let Some(found) = self.kept(wanted, operation, None).await? {
                return Ok(Some(found));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            sleep(wait.min(left)).await;
            wait = wait.saturating_mul(2).min(BETWEEN_LOOKS);
        }
    }

    /// What carries the tag. Of several that are what is wanted, all but the first made are destroyed: whoever does the
    /// same at the same time keeps the same one. `known` is what was just created, which the list may not have yet.
    async fn kept(
        &self,
        wanted: &NewDroplet,
        operation: &Tag,
        known: Option<Droplet>,
    ) -> Result<Option<Droplet>, Error> {
        // A list that is not filtered must not make other machines ours.
        let carries =
            |droplet: &Droplet| droplet.tags.iter().any(|tag| tag.eq_ignore_ascii_case(operation.as_str()));
        let mut all = self.droplets_by_tag(operation).await?;
        all.retain(carries);
        all.extend(known);
        all.sort_by_key(|droplet| droplet.id);
        all.dedup_by_key(|droplet| droplet.id);
        // A tag that somebody put onto another machine destroys nothing, and one that was renamed is still ours.
        let (ours, renamed): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|droplet| droplet.name == wanted.name);
        let mut ours = ours.into_iter();
        let first = ours.next();
        for surplus in ours {
            tracing::warn!(droplet = surplus.id, tag = %operation, "created twice: destroying the second");
            self.delete_droplet(surplus.id).await?;
        }
        Ok(first.or_else(|| renamed.into_iter().next()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_sent_is_told_before() {
        let check = |name: &str, data: usize, expected: Option<&str>| {
            let mut wanted = NewDroplet::new(name, "fra1", "s-1vcpu-1gb", "debian-12-x64");
            wanted.user_data = Some("x".repeat(data));
            let field = match wanted.check() {
                Ok(()) => None,
                Err(Error::Unsendable { field, .. }) => Some(field),
                Err(other) => panic!("{other}"),
            };
            assert_eq!(field, expected, "{name} {data}");
        };
        for name in ["web1", "a", "web-1.example.com", "9"] {
            check(name, 0, None);
        }
        for name in ["", "-web", "web-", "web_1", "wéb", "web 1", ".", &"x".repeat(256)] {
            check(name, 0, Some("name"));
        }
        check("web1", MAX_USER_DATA, None);
        check("web1", MAX_USER_DATA + 1, Some("user_data"));
    }

    #[test]
    fn user_data_is_not_printed() {
        let mut wanted = NewDroplet::new("web1", "fra1", "s-1vcpu-1gb", "debian-12-x64");
        wanted.user_data = Some("token: hunter2".to_owned());
        let printed = format!("{wanted:?}");
        assert!(!printed.contains("hunter2") && printed.contains("Some(14)"), "{printed}");
    }
}
