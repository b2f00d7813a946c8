//! The members of a toolbelt: what was approved of each, what it lists now, and whether it answers.

use std::collections::{HashMap, HashSet};

use domain::toolbelts::{Kind, Mode, OnChange};
use mcp::envelope::Envelope;
use mcp::headers::Known;
use mcp::{errors, parts};

use crate::definition::{self, Definition};
use crate::names::{self, New};
use crate::view::View;

/// Features of one member; what a server lists beyond is not shown.
pub const MAX_FEATURES: usize = 20_000;
/// The longest name of a feature, in bytes.
const MAX_NAME: usize = 2048;

/// A tool, prompt, resource or template of a member, as a toolbelt knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feature {
    /// What it is.
    pub kind: Kind,
    /// What its server calls it.
    pub name: String,
    /// What the toolbelt calls it.
    pub shown: String,
    /// What the toolbelt says of it instead of what its server says.
    pub description: Option<String>,
    /// Whether it is shown at all.
    pub is_on: bool,
    /// What was approved; the first definition that was seen.
    pub approved: Definition,
    /// What its server says of it now, when that is something else.
    pub seen: Option<Definition>,
}

/// An instance whose features a toolbelt shows.
#[derive(Debug, Clone, Default)]
pub struct Member {
    /// The instance's id: of the characters of UUIDs.
    pub id: String,
    /// The instance's name.
    pub name: String,
    /// Whether its features are shown.
    pub is_active: bool,
    /// By what its server calls them.
    pub features: HashMap<(Kind, String), Feature>,
    /// What it listed last; absent before it was asked.
    pub listed: Option<HashSet<(Kind, String)>>,
    /// Whether it does not answer; then its features are not shown.
    pub is_silent: bool,
    /// Why not, or what else is wrong with it.
    pub trouble: Option<String>,
    /// Which arguments of its tools are repeated in headers.
    pub known: Known,
}

/// What one member lists.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    items: Vec<(Kind, String, Box<str>)>,
    known: Known,
    /// More than are shown.
    pub is_too_long: bool,
}

impl Listing {
    /// Takes one page; gives where the list goes on, as it is written.
    pub fn take(&mut self, kind: Kind, page: &Envelope<'_>) -> Option<String> {
        let result = page.raw(page.result?);
        // Tools that say something wrong of headers cannot be called over HTTP.
        let invalid = if kind == Kind::Tool { self.known.learn(page) } else { Vec::new() };
        for item in parts::member(result, definition::list(kind)).and_then(parts::items).unwrap_or_default() {
            let Some(name) = definition::name_of(kind, item) else { continue };
            if MAX_NAME < name.len() || invalid.iter().any(|one| *one.tool == *name) {
                continue;
            }
            if MAX_FEATURES <= self.items.len() {
                self.is_too_long = true;
                return None;
            }
            self.items.push((kind, name.into_owned(), item.into()));
        }
        mcp::headers::next_cursor(page).map(str::to_owned)
    }
}

/// A toolbelt.
#[derive(Debug, Clone)]
pub struct Belt {
    /// Its name.
    pub name: String,
    /// What its owner says of it.
    pub description: Option<String>,
    /// What clients see of the tools.
    pub mode: Mode,
    /// What becomes of changed definitions.
    pub on_change: OnChange,
    /// In the order in which they came.
    pub members: Vec<Member>,
}

impl Belt {
    /// Takes what members list, or why they do not. Those that are heard together are named together. Gives the features, by
    /// member and key, that are new or of which another definition was seen.
    pub fn hear(&mut self, heard: Vec<(usize, Result<Listing, String>)>) -> Vec<(usize, (Kind, String))> {
        let mut changed = Vec::new();
        let mut new: Vec<(usize, Kind, String, Box<str>)> = Vec::new();
        for (at, listing) in heard {
            let Some(member) = self.members.get_mut(at) else { continue };
            let listing = match listing {
                Ok(listing) => listing,
                Err(why) => {
                    (member.is_silent, member.trouble) = (true, Some(why));
                    continue;
                }
            };
            member.is_silent = false;
            member.trouble = listing
                .is_too_long
                .then(|| format!("it lists more than {MAX_FEATURES} features; the rest is not shown"));
            member.known = listing.known;
            let mut listed = HashSet::new();
            for (kind, name, json) in listing.items {
                let key = (kind, name);
                // Of one that is listed twice the first counts.
                if !listed.insert(key.clone()) {
                    continue;
                }
                let Some(feature) = member.features.get_mut(&key) else {
                    new.push((at, kind, key.1, json));
                    continue;
                };
                let now = Definition::of(&json);
                let seen = (now.hash != feature.approved.hash).then_some(now);
                if seen.as_ref().map(|now| &now.hash) != feature.seen.as_ref().map(|before| &before.hash) {
                    feature.seen = seen;
                    changed.push((at, key));
                }
            }
            member.listed = Some(listed);
        }
        let taken: HashSet<(Kind, String)> = self
            .members
            .iter()
            .flat_map(|member| member.features.values())
            .map(|feature| (feature.kind, feature.shown.clone()))
            .chain(own_names())
            .collect();
        let unnamed: Vec<New<'_>> = new
            .iter()
            .map(|(at, kind, own, _)| New { kind: *kind, member: &self.members[*at].name, own })
            .collect();
        let shown = names::assign(&taken, &unnamed);
        for ((at, kind, name, json), shown) in new.into_iter().zip(shown) {
            let approved = Definition::of(&json);
            let feature = Feature {
                kind,
                name: name.clone(),
                shown,
                description: None,
                is_on: true,
                approved,
                seen: None,
            };
            self.members[at].features.insert((kind, name.clone()), feature);
            changed.push((at, (kind, name)));
        }
        changed
    }

    /// What it shows now.
    pub fn view(&self) -> View {
        View::of(self)
    }

    /// Its `serverInfo`.
    pub(crate) fn server_info(&self) -> String {
        format!(r#"{{"name":{},"version":"1"}}"#, errors::quote(&self.name))
    }
}

/// Names of tools of its own, which no member's may have, in either mode: one that is switched shows no tool under another name.
fn own_names() -> impl Iterator<Item = (Kind, String)> {
    [crate::search::SEARCH, crate::search::CALL].into_iter().map(|name| (Kind::Tool, name.to_owned()))
}
