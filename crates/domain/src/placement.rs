//! Where an instance goes when nobody says where: pure, so that every rule of it is a row of a test.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::names::EnvironmentName;

/// What an instance is taken to need when it has no limit of memory, in MiB: most MCP servers are below it.
pub const TYPICAL_MEMORY_MIB: u64 = 256;
/// The longest key and value of a label, in bytes.
const LONGEST: usize = 63;
/// The most labels of one environment.
const MOST: usize = 32;

/// What an environment is told apart by, such as `gpu=yes`. Keys are of small letters, digits, `.`, `_` and `-`; values of visible
/// ASCII.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")]
pub struct Labels(BTreeMap<String, String>);

/// Why labels cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// A key of another shape.
    #[error("`{0}` is no key of a label: use small letters, digits, `.`, `_` and `-`, at most {LONGEST}")]
    Key(String),
    /// A key that Berth sets itself.
    #[error("the label `{0}` is what the provider says of a machine, and cannot be set")]
    Reserved(String),
    /// A value of another shape.
    #[error("the value of the label `{0}` must be visible ASCII without spaces, 1 to {LONGEST} characters")]
    Value(String),
    /// Too many.
    #[error("an environment has at most {MOST} labels")]
    TooMany,
}

impl Labels {
    /// The keys that are a droplet's facts.
    const FACTS: [&str; 2] = ["region", "size"];

    /// Labels that somebody sets.
    ///
    /// # Errors
    /// Any [`LabelError`].
    pub fn set(labels: BTreeMap<String, String>) -> Result<Self, LabelError> {
        if let Some(key) = labels.keys().find(|key| Self::is_fact(key)) {
            return Err(LabelError::Reserved(key.clone()));
        }
        Self::try_from(labels)
    }

    /// Whether a key is what the provider says of a machine, and so nobody's to set.
    pub fn is_fact(key: &str) -> bool {
        Self::FACTS.contains(&key)
    }

    /// The same with what the provider says of the machine.
    #[must_use]
    pub fn with_facts(&self, region: Option<&str>, size: Option<&str>) -> Self {
        let mut all = self.0.clone();
        for (key, value) in Self::FACTS.into_iter().zip([region, size]) {
            if let Some(value) = value {
                all.insert(key.to_owned(), value.to_owned());
            }
        }
        Self(all)
    }

    /// Key and value, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first that `self` asks for and `other` has not.
    fn missing_in(&self, other: &Self) -> Option<(&str, &str)> {
        self.iter().find(|(key, value)| other.0.get(*key).is_none_or(|found| found != value))
    }
}

impl TryFrom<BTreeMap<String, String>> for Labels {
    type Error = LabelError;

    fn try_from(labels: BTreeMap<String, String>) -> Result<Self, LabelError> {
        if MOST < labels.len() {
            return Err(LabelError::TooMany);
        }
        for (key, value) in &labels {
            let of_key = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
            if key.is_empty() || LONGEST < key.len() || !key.bytes().all(of_key) {
                return Err(LabelError::Key(key.clone()));
            }
            if value.is_empty() || LONGEST < value.len() || !value.bytes().all(|b| b.is_ascii_graphic()) {
                return Err(LabelError::Value(key.clone()));
            }
        }
        Ok(Self(labels))
    }
}

impl From<Labels> for BTreeMap<String, String> {
    fn from(labels: Labels) -> Self {
        labels.0
    }
}

/// A machine that an instance may go to.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Its name.
    pub name: EnvironmentName,
    /// Whether its DTMA reports.
    pub is_active: bool,
    /// Whether it takes nothing new.
    pub is_cordoned: bool,
    /// Its labels, region and size among them.
    pub labels: Labels,
    /// Its memory in MiB, and how much of that is free; absent until it reported.
    pub memory_mib: Option<(u64, u64)>,
    /// How busy its processors are together, 0 to 100.
    pub cpu_load_percent: f64,
    /// Memory in MiB that instances of it will use, which it has not measured yet.
    pub promised_mib: u64,
    /// How many instances it has.
    pub instances: u64,
}

/// What an instance needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Labels that its machine must have.
    pub labels: Labels,
}

/// No machine takes it, and why each does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoPlace(Vec<(EnvironmentName, Unfit)>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Unfit {
    Silent,
    Cordoned,
    Lacks(String, String),
    Full { free: u64, wanted: u64 },
}

impl fmt::Display for NoPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, why)) in self.0.iter().enumerate() {
            let and = if i == 0 { "" } else { "; " };
            write!(f, "{and}`{name}` ")?;
            match why {
                Unfit::Silent => f.write_str("does not report")?,
                Unfit::Cordoned => f.write_str("is cordoned")?,
                Unfit::Lacks(key, value) => write!(f, "is not labelled {key}={value}")?,
                Unfit::Full { free, wanted } => write!(f, "has {free} MiB free of the {wanted} needed")?,
            }
        }
        Ok(())
    }
}

/// The machine that has most room left afterwards, as a share of what it has: of memory or of processor time, whichever is
/// scarcer there. Of equal ones the one with fewer instances, then by name, so the same question has the same answer.
///
/// # Errors
/// [`NoPlace`]
pub fn place(wanted: &Wanted, candidates: &[Candidate]) -> Result<usize, NoPlace> {
    let mut best: Option<(f64, usize)> = None;
    let mut unfit = Vec::new();
    for (index, candidate) in candidates.iter().enumerate() {
        match room(wanted, candidate) {
            Err(why) => unfit.push((candidate.name.clone(), why)),
            Ok(room) => {
                let is_better = best.is_none_or(|(before, at)| {
                    let by_room = room.total_cmp(&before);
                    let other = &candidates[at];
                    let by_rest = (other.instances, &other.name).cmp(&(candidate.instances, &candidate.name));
                    by_room.then(by_rest).is_gt()
                });
                if is_better {
                    best = Some((room, index));
                }
            }
        }
    }
    best.map(|(_, index)| index).ok_or(NoPlace(unfit))
}

/// The share of a machine that is free once the instance is there, 0 to 1.
fn room(wanted: &Wanted, candidate: &Candidate) -> Result<f64, Unfit> {
    let Some((total, free)) = candidate.memory_mib.filter(|_| candidate.is_active) else {
        return Err(Unfit::Silent);
    };
    if candidate.is_cordoned {
        return Err(Unfit::Cordoned);
    }
    if let Some((key, value)) = wanted.labels.missing_in(&candidate.labels) {
        return Err(Unfit::Lacks(key.to_owned(), value.to_owned()));
    }
    let free = free.saturating_sub(candidate.promised_mib);
    let left = free.checked_sub(wanted.memory_mib).ok_or(Unfit::Full { free, wanted: wanted.memory_mib })?;
    #[expect(clippy::cast_precision_loss, reason = "a share needs no more than 52 bits of a MiB")]
    let memory = left as f64 / total.max(1) as f64;
    let processor = 1.0 - candidate.cpu_load_percent.clamp(0.0, 100.0) / 100.0;
    Ok(memory.min(processor))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels(text: &str) -> Labels {
        let pairs = text.split_whitespace().filter_map(|pair| pair.split_once('='));
        Labels::try_from(
            pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect::<BTreeMap<_, _>>(),
        )
        .unwrap()
    }

    fn host(name: &str, free: u64, load: f64) -> Candidate {
        Candidate {
            name: name.parse().unwrap(),
            is_active: true,
            is_cordoned: false,
            labels: labels("region=fra1"),
            memory_mib: Some((4096, free)),
            cpu_load_percent: load,
            promised_mib: 0,
            instances: 0,
        }
    }

    fn wanted(memory_mib: u64, text: &str) -> Wanted {
        Wanted { memory_mib, labels: labels(text) }
    }

    #[test]
    fn an_instance_goes_where_most_room_is_left() {
        let change = |mut host: Candidate, change: fn(&mut Candidate)| {
            change(&mut host);
            host
        };
        let check = |what: &str, wanted: Wanted, hosts: &[Candidate], expected: Result<&str, &str>| {
            let found = place(&wanted, hosts);
            let found = found.as_ref().map(|at| hosts[*at].name.as_str()).map_err(ToString::to_string);
            assert_eq!(found.as_deref().map_err(String::as_str), expected, "{what}");
        };
        check("more memory", wanted(256, ""), &[host("a", 1000, 0.0), host("b", 2000, 0.0)], Ok("b"));
        check(
            "a busy processor counts more than free memory",
            wanted(256, ""),
            &[host("a", 2000, 10.0), host("b", 4000, 95.0)],
            Ok("a"),
        );
        check("a tie goes by name", wanted(256, ""), &[host("b", 1000, 0.0), host("a", 1000, 0.0)], Ok("a"));
        check(
            "and by instances before",
            wanted(256, ""),
            &[change(host("a", 1000, 0.0), |host| host.instances = 1), host("b", 1000, 0.0)],
            Ok("b"),
        );
        check(
            "what is promised is not free",
            wanted(256, ""),
            &[change(host("a", 3000, 0.0), |host| host.promised_mib = 2800), host("b", 300, 0.0)],
            Ok("b"),
        );
        check(
            "labels",
            wanted(1, "region=nyc1"),
            &[host("a", 4000, 0.0), change(host("b", 100, 0.0), |host| host.labels = labels("region=nyc1"))],
            Ok("b"),
        );
        check(
            "each says why not",
            wanted(512, "region=fra1 gpu=yes"),
            &[
                change(host("a", 4000, 0.0), |host| host.is_active = false),
                change(host("b", 4000, 0.0), |host| host.is_cordoned = true),
                host("c", 4000, 0.0),
                change(host("d", 100, 0.0), |host| host.labels = labels("region=fra1 gpu=yes")),
                change(host("e", 4000, 0.0), |host| host.memory_mib = None),
            ],
            Err(
                "`a` does not report; `b` is cordoned; `c` is not labelled gpu=yes; `d` has 100 MiB free of the 512 needed; \
                 `e` does not report",
            ),
        );
        check("there is none", wanted(1, ""), &[], Err(""));
    }

    #[test]
    fn labels_that_cannot_be() {
        let one = |key: &str, value: &str| Labels::set([(key.to_owned(), value.to_owned())].into());
        assert!(one("gpu", "yes").is_ok());
        for (key, value, words) in [
            ("GPU", "yes", "`GPU` is no key"),
            ("", "yes", "`` is no key"),
            ("a b", "yes", "`a b` is no key"),
            ("region", "fra1", "cannot be set"),
            ("gpu", "", "the value of the label `gpu`"),
            ("gpu", "a b", "the value of the label `gpu`"),
            ("gpu", "é", "the value of the label `gpu`"),
            (&"k".repeat(64), "v", "is no key"),
            ("k", &"v".repeat(64), "the value"),
        ] {
            let said = one(key, value).unwrap_err().to_string();
            assert!(said.contains(words), "{key}={value}: {said}");
        }
        let many = (0..33).map(|n| (format!("k{n}"), "v".to_owned())).collect();
        assert_eq!(Labels::set(many), Err(LabelError::TooMany));
    }

    proptest! {
        /// Whoever is chosen can take it, and the choice does not depend on the order of the question.
        #[test]
        fn the_choice_is_fit_and_has_no_order(
            hosts in prop::collection::vec((0..4096u64, 0.0..100.0f64, any::<bool>(), any::<bool>(), 0..3u64), 1..8),
            memory in 0..4096u64,
            turn in 0..8usize,
        ) {
            let mut candidates: Vec<Candidate> = hosts.into_iter().enumerate().map(|(n, (free, load, active, cordoned, instances))| {
                Candidate { is_active: active, is_cordoned: cordoned, instances, ..host(&format!("h{n}"), free, load) }
            }).collect();
            let wanted = wanted(memory, "");
            let name = |candidates: &[Candidate]| place(&wanted, candidates).map(|at| candidates[at].clone());
            let chosen = name(&candidates);
            if let Ok(chosen) = &chosen {
                prop_assert!(chosen.is_active && !chosen.is_cordoned && memory <= chosen.memory_mib.unwrap().1);
            }
            let count = candidates.len();
            candidates.rotate_left(turn % count);
            prop_assert_eq!(chosen.ok().map(|host| host.name), name(&candidates).ok().map(|host| host.name));
        }
    }
}
