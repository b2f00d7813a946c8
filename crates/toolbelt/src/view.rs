//! What a toolbelt shows at one time: every feature by its name, and the pages of its lists.

use std::collections::HashMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::toolbelts::{Kind, Mode, OnChange};
use mcp::envelope::META_PREFIX;
use mcp::errors;
use mcp::headers::Known;
use mcp::rule::Effects;

use crate::belt::Belt;
use crate::definition::{self, KINDS};
use crate::search::{self, Index};

/// Items of one page.
pub const PAGE: usize = 1000;
/// For so many milliseconds clients may take a list for the present one.
const TTL: u32 = 10_000;
/// What the meta member begins with that tells of members which do not answer.
const UNAVAILABLE: &str = "berth/unavailable";

/// One feature.
#[derive(Debug)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// Whose, as an index of [`View::members`].
    pub member: usize,
    /// What its server calls it.
    pub own: Box<str>,
    /// What the toolbelt calls it.
    pub shown: Box<str>,
    /// The definition that is shown.
    pub json: Box<str>,
    /// What a tool says that it may do.
    pub effects: Effects,
}

/// A member, as far as messages to it need.
#[derive(Debug)]
pub struct Face {
    /// The instance's id.
    pub id: Box<str>,
    /// The instance's name.
    pub name: Box<str>,
    /// Which arguments of its tools are repeated in headers.
    pub known: Known,
}

/// What a caller sees; absent: everything.
pub type Sight<'a> = Option<&'a dyn Fn(&Face, &Entry) -> bool>;

/// What a toolbelt shows. Immutable: whoever has one sees one state.
#[derive(Debug, Default)]
pub struct View {
    /// The members.
    pub members: Vec<Face>,
    pub(crate) is_searched: bool,
    name: Box<str>,
    server_info: Box<str>,
    instructions: Box<str>,
    /// By kind, sorted by the names that are shown.
    entries: [Vec<Entry>; 4],
    by_name: [HashMap<Box<str>, usize>; 4],
    /// Features that are not to be had because their definition changed, by kind and shown name: whose.
    withheld: HashMap<(Kind, Box<str>), usize>,
    /// The first page of each list, for those who see everything.
    first: [Box<str>; 4],
    index: Option<Index>,
    meta: Box<str>,
}

/// Why there is no page.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`params.cursor` is none that this server gave: ask for the list from its beginning")]
pub struct WrongCursor;

impl View {
    pub(crate) fn of(belt: &Belt) -> Self {
        let mut view = Self {
            is_searched: belt.mode == Mode::Search,
            name: belt.name.as_str().into(),
            ..Self::default()
        };
        view.server_info = belt.server_info().into();
        let mut troubles = Vec::new();
        for (at, member) in belt.members.iter().enumerate() {
            view.members.push(Face {
                id: member.id.as_str().into(),
                name: member.name.as_str().into(),
                known: member.known.clone(),
            });
            if !member.is_active {
                continue;
            }
            if let Some(why) = &member.trouble {
                troubles.push((member.name.as_str(), why.as_str()));
            }
            if member.is_silent {
                continue;
            }
            for (key, feature) in &member.features {
                let is_listed = member.listed.as_ref().is_none_or(|listed| listed.contains(key));
                if !feature.is_on || !is_listed {
                    continue;
                }
                if belt.on_change == OnChange::Withhold && feature.seen.is_some() {
                    view.withheld.insert((feature.kind, feature.shown.as_str().into()), at);
                    continue;
                }
                let json = &*feature.approved.json;
                let is_as_it_is = feature.shown == feature.name && feature.description.is_none();
                let shown = if is_as_it_is {
                    json.to_owned()
                } else {
                    definition::shown(feature.kind, json, &feature.shown, feature.description.as_deref())
                };
                view.entries[definition::at(feature.kind)].push(Entry {
                    kind: feature.kind,
                    member: at,
                    own: feature.name.as_str().into(),
                    shown: feature.shown.as_str().into(),
                    effects: if feature.kind == Kind::Tool { Effects::of(json) } else { Effects::default() },
                    json: shown.into(),
                });
            }
        }
        for kind in KINDS {
            let entries = &mut view.entries[definition::at(kind)];
            entries.sort_unstable_by(|a, b| a.shown.cmp(&b.shown));
            view.by_name[definition::at(kind)] =
                entries.iter().enumerate().map(|(at, entry)| (entry.shown.clone(), at)).collect();
        }
        view.instructions = instructions(belt, &troubles).into();
        view.meta = meta(&view.server_info, &troubles).into();
        if belt.mode == Mode::Search {
            view.index = Some(Index::of(&view.entries[definition::at(Kind::Tool)]));
        }
        for kind in KINDS {
            view.first[definition::at(kind)] = view.render(kind, 0, None).into();
        }
        view
    }

    /// The kinds whose lists are others than those of `before`.
    pub fn differs(&self, before: &Self) -> Vec<Kind> {
        let is_same = |kind: Kind| {
            let (now, then) = (self.entries(kind), before.entries(kind));
            let mut both = now.iter().zip(then);
            let is_searched = kind != Kind::Tool || self.is_searched == before.is_searched;
            is_searched
                && now.len() == then.len()
                && both.all(|(now, then)| now.shown == then.shown && now.json == then.json)
        };
        KINDS.into_iter().filter(|kind| !is_same(*kind)).collect()
    }

    /// Features of a kind, by the names that are shown.
    pub fn entries(&self, kind: Kind) -> &[Entry] {
        &self.entries[definition::at(kind)]
    }

    /// A feature by the name that is shown.
    pub fn entry(&self, kind: Kind, shown: &str) -> Option<&Entry> {
        self.by_name[definition::at(kind)].get(shown).map(|at| &self.entries[definition::at(kind)][*at])
    }

    /// The member whose feature is withheld.
    pub(crate) fn withheld(&self, kind: Kind, shown: &str) -> Option<&Face> {
        self.withheld.get(&(kind, shown.into())).map(|at| &self.members[*at])
    }

    /// The toolbelt's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The tools by what they are about.
    pub(crate) fn index(&self) -> Option<&Index> {
        self.index.as_ref()
    }

    /// The result of `server/discover`.
    pub fn discover(&self) -> String {
        format!(
            r#"{{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{{"tools":{{"listChanged":true}},"prompts":{{"listChanged":true}},"resources":{{"listChanged":true,"subscribe":true}},"completions":{{}},"logging":{{}}}},"instructions":{},"ttlMs":{TTL},"cacheScope":"private","_meta":{}}}"#,
            self.instructions, self.meta
        )
    }

    /// The result of a list's page. `cursor` is what the page before said.
    ///
    /// # Errors
    /// [`WrongCursor`].
    pub fn page(&self, kind: Kind, cursor: Option<&str>, sight: Sight<'_>) -> Result<String, WrongCursor> {
        let from = match cursor {
            None if sight.is_none() => return Ok(self.first[definition::at(kind)].to_string()),
            None => 0,
            Some(cursor) => {
                let last = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|text| String::from_utf8(text).ok());
                let last = last.ok_or(WrongCursor)?;
                self.entries[definition::at(kind)].partition_point(|entry| *entry.shown <= *last)
            }
        };
        Ok(self.render(kind, from, sight))
    }

    fn render(&self, kind: Kind, from: usize, sight: Sight<'_>) -> String {
        let mut out = format!(r#"{{"resultType":"complete","{}":["#, definition::list(kind));
        let mut next = None;
        if kind == Kind::Tool && self.is_searched {
            out.push_str(search::TOOLS);
        } else {
            let all = &self.entries[definition::at(kind)][from..];
            let seen =
                all.iter().filter(|entry| sight.is_none_or(|sees| sees(&self.members[entry.member], entry)));
            let mut last: Option<&Entry> = None;
            for (at, entry) in seen.enumerate() {
                if at == PAGE {
                    next = last;
                    break;
                }
                out.push_str(if at == 0 { "" } else { "," });
                out.push_str(&entry.json);
                last = Some(entry);
            }
        }
        out.push(']');
        if let Some(last) = next {
            // Writing to a String cannot fail.
            let _ = write!(out, r#","nextCursor":"{}""#, URL_SAFE_NO_PAD.encode(last.shown.as_bytes()));
        }
        let _ = write!(out, r#","ttlMs":{TTL},"cacheScope":"private","_meta":{}}}"#, self.meta);
        out
    }
}

fn instructions(belt: &Belt, troubles: &[(&str, &str)]) -> String {
    let active = || belt.members.iter().filter(|member| member.is_active);
    let names: Vec<&str> = active().map(|member| member.name.as_str()).collect();
    let mut text = belt.description.clone().unwrap_or_default();
    let mut say = |sentence: &str| {
        text.push_str(if text.is_empty() { "" } else { "\n" });
        text.push_str(sentence);
    };
    say(&match names.as_slice() {
        [] => "This toolbelt has no members yet.".to_owned(),
        names => format!("Tools of several servers: {}.", names.join(", ")),
    });
    if belt.mode == Mode::Search {
        say("Its tools are not listed: find one with `search_tools`, then call it with `call_tool`.");
    }
    for (name, why) in troubles {
        say(&format!("Tools of {name} are not available at the moment: {why}."));
    }
    errors::quote(&text)
}

fn meta(server_info: &str, troubles: &[(&str, &str)]) -> String {
    let mut meta = format!(r#"{{"{META_PREFIX}serverInfo":{server_info}"#);
    if !troubles.is_empty() {
        let each = troubles.iter().map(|(name, why)| {
            format!(r#"{{"instance":{},"reason":{}}}"#, errors::quote(name), errors::quote(why))
        });
        let _ = write!(meta, r#","{UNAVAILABLE}":[{}]"#, each.collect::<Vec<_>>().join(","));
    }
    meta.push('}');
    meta
}
