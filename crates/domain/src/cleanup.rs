//! What of Berth's own a host can be cleared of: a pure plan from what is there and what is needed to what goes.
//!
//! What is found here is Berth's already: an object that only looks like it never gets into a plan.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// What kind of thing is removed.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum ThingKind {
    /// A container that has ended.
    Container,
    /// A network of containers.
    Network,
    /// An image that this host pulled for an instance.
    Image,
    /// An installed package.
    Package,
    /// A copy of Berth's own binary.
    Binary,
}

impl ThingKind {
    /// The word as the wire has it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Network => "network",
            Self::Image => "image",
            Self::Package => "package",
            Self::Binary => "binary",
        }
    }
}

/// One thing on a host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Thing {
    /// What it is.
    pub kind: ThingKind,
    /// Its name: an image's, a container's, a digest.
    pub name: String,
    /// What it takes on the disk. Images share layers, so the sum of theirs is the most that can come free.
    pub bytes: u64,
}

/// One thing of Berth's, as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// It.
    pub thing: Thing,
    /// The digests under which records of installs know it.
    pub digests: Vec<String>,
    /// Whether something runs of it or on it, or new instances would.
    pub busy: bool,
}

/// What the instances of a host need.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Needs {
    /// The digests of what is installed for each, and of what was installed before it: a way back needs that.
    pub digests: BTreeSet<String>,
    /// The names of the images that specs name.
    pub images: BTreeSet<String>,
    /// Whether any instance may reach the network.
    pub network: bool,
}

/// What goes, containers first: the others are free then.
pub fn plan(found: &[Found], needs: &Needs) -> Vec<Thing> {
    let goes = |found: &&Found| {
        let is_needed = match found.thing.kind {
            ThingKind::Container | ThingKind::Binary => false,
            ThingKind::Network => needs.network,
            ThingKind::Image => needs.images.contains(&found.thing.name) || is_known(found, needs),
            ThingKind::Package => is_known(found, needs),
        };
        !found.busy && !is_needed
    };
    let mut things: Vec<Thing> = found.iter().filter(goes).map(|found| found.thing.clone()).collect();
    things.sort();
    things
}

fn is_known(found: &Found, needs: &Needs) -> bool {
    found.digests.iter().any(|digest| needs.digests.contains(digest))
}

/// What was removed, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CleanupReport {
    /// Nothing was removed: this is what would be.
    pub dry_run: bool,
    /// What was removed, or would be.
    pub things: Vec<Thing>,
    /// Their sum.
    pub bytes: u64,
    /// What should have gone and did not, and what could not be looked at, with the reasons.
    #[serde(default)]
    pub troubles: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_or_busy_stays() {
        let needs = Needs {
            digests: ["sha256:now", "sha256:before"].map(str::to_owned).into(),
            images: ["named:1".to_owned()].into(),
            network: true,
        };
        let check = |kind, name: &str, digests: &[&str], busy, goes| {
            let thing = Thing { kind, name: name.to_owned(), bytes: 1 };
            let digests = digests.iter().map(|&digest| digest.to_owned()).collect();
            let expected = if goes { vec![thing.clone()] } else { vec![] };
            assert_eq!(plan(&[Found { thing, digests, busy }], &needs), expected, "{name} {busy}");
        };
        for (name, digests, goes) in [
            ("unused", &["sha256:old"][..], true),
            ("of an instance", &["sha256:now"], false),
            ("before that", &["sha256:before"], false),
            ("known under two", &["sha256:other", "sha256:now"], false),
            ("known under none", &[], true),
        ] {
            check(ThingKind::Package, name, digests, false, goes);
            check(ThingKind::Image, name, digests, false, goes);
            check(ThingKind::Image, name, digests, true, false);
        }
        check(ThingKind::Image, "named:1", &["sha256:old"], false, false);
        check(ThingKind::Network, "berth", &[], false, false);
        for kind in [ThingKind::Container, ThingKind::Binary] {
            check(kind, "free", &[], false, true);
            check(kind, "busy", &[], true, false);
        }
        let free = Found {
            thing: Thing { kind: ThingKind::Network, name: "berth".to_owned(), bytes: 0 },
            digests: vec![],
            busy: false,
        };
        assert_eq!(plan(std::slice::from_ref(&free), &Needs::default()), vec![free.thing.clone()]);
        assert_eq!(plan(&[Found { busy: true, ..free }], &Needs::default()), vec![]);
    }

    #[test]
    fn containers_go_first() {
        let found: Vec<Found> = [ThingKind::Image, ThingKind::Network, ThingKind::Container]
            .map(|kind| Found {
                thing: Thing { kind, name: "x".to_owned(), bytes: 0 },
                digests: vec![],
                busy: false,
            })
            .into();
        let kinds: Vec<ThingKind> = plan(&found, &Needs::default()).iter().map(|thing| thing.kind).collect();
        assert_eq!(kinds, [ThingKind::Container, ThingKind::Network, ThingKind::Image]);
    }
}
