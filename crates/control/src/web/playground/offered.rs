//! What a server offers, as lists with links, and what of it was chosen.

use crate::app::playground::Kind;
use crate::app::playground::offer::{Hints, Offer, Prompt, Resource, Template, Tool};
use crate::app::playground::schema::Form;
use crate::web::playground::view::href;

/// The longest description in a list, in characters.
const SHORT: usize = 140;

/// A line of a list.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    pub(crate) href: String,
    /// The word of the kind.
    pub(crate) word: &'static str,
    pub(crate) name: String,
    pub(crate) title: Option<String>,
    pub(crate) about: String,
    /// Words, and how they look.
    pub(crate) labels: Vec<(&'static str, &'static str)>,
    pub(crate) here: bool,
}

impl Entry {
    /// Whether its title says something else than its name.
    pub(crate) fn has_other_title(&self) -> bool {
        self.title.as_ref().is_some_and(|title| title.to_lowercase() != self.name.to_lowercase())
    }
}

/// The lists, less what a search leaves out.
#[derive(Debug, Default)]
pub(crate) struct Listed {
    pub(crate) groups: Vec<(&'static str, Vec<Entry>)>,
    /// How many there are before the search.
    pub(crate) all: usize,
    /// How many are shown.
    pub(crate) shown: usize,
}

/// What was chosen.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Chosen<'a> {
    Tool(&'a Tool),
    Prompt(&'a Prompt),
    Resource(&'a Resource),
    Template(&'a Template),
    /// The server does not list it, or not to this person.
    Unlisted(Option<Kind>, &'a str),
}

impl<'a> Chosen<'a> {
    pub(crate) fn find(offer: Option<&'a Offer>, word: &str, name: &'a str) -> Self {
        let found = offer.and_then(|offer| match word {
            "tool" => offer.tools.iter().find(|tool| tool.name == name).map(Self::Tool),
            "prompt" => offer.prompts.iter().find(|prompt| prompt.name == name).map(Self::Prompt),
            "resource" => offer.resources.iter().find(|resource| resource.uri == name).map(Self::Resource),
            "template" => offer.templates.iter().find(|template| template.uri == name).map(Self::Template),
            _ => None,
        });
        found.unwrap_or(Self::Unlisted(Kind::of(word), name))
    }

    /// What is called; `None` for what is nothing.
    pub(crate) fn kind(self) -> Option<Kind> {
        match self {
            Self::Tool(_) => Some(Kind::Tool),
            Self::Prompt(_) => Some(Kind::Prompt),
            Self::Resource(_) | Self::Template(_) => Some(Kind::Resource),
            Self::Unlisted(kind, _) => kind,
        }
    }

    /// `None`: its schema is not known.
    pub(crate) fn form(self) -> Option<Form> {
        match self {
            Self::Tool(tool) => Some(Form::of(&tool.schema, "a")),
            Self::Prompt(prompt) => Some(Form::of(&prompt.schema, "a")),
            Self::Template(template) => Some(Form::of(&template.schema, "a")),
            Self::Resource(_) | Self::Unlisted(Some(Kind::Resource), _) => Some(Form { fields: Vec::new() }),
            Self::Unlisted(..) => None,
        }
    }

    /// Whether its arguments may be typed as JSON.
    pub(crate) fn may_be_raw(self) -> bool {
        matches!(self, Self::Tool(_) | Self::Prompt(_) | Self::Unlisted(Some(Kind::Tool | Kind::Prompt), _))
    }

    pub(crate) fn destroys(self) -> bool {
        matches!(self, Self::Tool(tool) if tool.hints.destroys)
    }

    /// The resource that shows its results.
    pub(crate) fn ui(self) -> Option<String> {
        match self {
            Self::Tool(tool) => tool.ui.clone(),
            _ => None,
        }
    }

    pub(crate) fn verb(self) -> &'static str {
        match self.kind() {
            Some(Kind::Prompt) => "Get the prompt",
            Some(Kind::Resource) => "Read it",
            _ => "Call the tool",
        }
    }

    pub(crate) fn description(self) -> &'a str {
        match self {
            Self::Tool(tool) => &tool.description,
            Self::Prompt(prompt) => &prompt.description,
            Self::Resource(resource) => &resource.description,
            Self::Template(template) => &template.description,
            Self::Unlisted(Some(Kind::Resource), _) => "",
            Self::Unlisted(..) => {
                "The server does not list this to you. It can be called all the same, if it is there and no rule forbids it."
            }
        }
    }

    pub(crate) fn entry(self, base: &str) -> Entry {
        match self {
            Self::Tool(one) => tool(base, one),
            Self::Prompt(one) => prompt(base, one),
            Self::Resource(one) => resource(base, one),
            Self::Template(one) => template(base, one),
            Self::Unlisted(kind, name) => {
                let word = kind.map_or("tool", Kind::word);
                Entry { href: href(base, word, name), word, name: name.to_owned(), ..Entry::default() }
            }
        }
    }
}

fn short(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    let mut short: String = line.chars().take(SHORT).collect();
    if short.len() < line.len() {
        short.push('…');
    }
    short
}

fn labels(hints: Hints) -> Vec<(&'static str, &'static str)> {
    let all = [
        (hints.reads_only, ("read-only", "good")),
        (hints.destroys, ("destructive", "bad")),
        (hints.repeatable, ("idempotent", "quiet")),
        (hints.goes_out, ("open world", "quiet")),
    ];
    all.into_iter().filter(|(is, _)| *is).map(|(_, label)| label).collect()
}

fn tool(base: &str, of: &Tool) -> Entry {
    let mut labels = labels(of.hints);
    labels.extend(of.ui.is_some().then_some(("app", "quiet")));
    Entry {
        href: href(base, "tool", &of.name),
        word: "tool",
        name: of.name.clone(),
        title: of.title.clone(),
        about: short(&of.description),
        labels,
        here: false,
    }
}

fn prompt(base: &str, of: &Prompt) -> Entry {
    Entry {
        href: href(base, "prompt", &of.name),
        word: "prompt",
        name: of.name.clone(),
        title: of.title.clone(),
        about: short(&of.description),
        ..Entry::default()
    }
}

fn resource(base: &str, of: &Resource) -> Entry {
    let about = short(&of.description);
    Entry {
        href: href(base, "resource", &of.uri),
        word: "resource",
        name: of.uri.clone(),
        title: Some(of.name.clone()).filter(|name| *name != of.uri),
        about: match &of.mime {
            Some(mime) => format!("{about} {mime}").trim().to_owned(),
            None => about,
        },
        ..Entry::default()
    }
}

fn template(base: &str, of: &Template) -> Entry {
    Entry {
        href: href(base, "template", &of.uri),
        word: "template",
        name: of.uri.clone(),
        title: Some(of.name.clone()).filter(|name| *name != of.uri),
        about: short(&of.description),
        ..Entry::default()
    }
}

impl Listed {
    /// What a search finds, in names, titles and descriptions; `here` is what was chosen.
    pub(crate) fn of(base: &str, offer: &Offer, query: &str, here: Option<(&str, &str)>) -> Self {
        let words: Vec<String> = query.split_whitespace().map(str::to_lowercase).collect();
        let keep = |entries: Vec<(Entry, &str)>| -> Vec<Entry> {
            let is_found = |entry: &Entry, description: &str| {
                let title = entry.title.as_deref().unwrap_or_default();
                let all = format!("{} {title} {description}", entry.name).to_lowercase();
                words.iter().all(|word| all.contains(word))
            };
            let found = entries.into_iter().filter(|(entry, description)| is_found(entry, description));
            found.map(|(entry, _)| Entry { here: here == Some((entry.word, &entry.name)), ..entry }).collect()
        };
        let tools = offer.tools.iter().map(|of| (tool(base, of), &*of.description)).collect();
        let prompts = offer.prompts.iter().map(|of| (prompt(base, of), &*of.description)).collect();
        let mut resources: Vec<(Entry, &str)> =
            offer.resources.iter().map(|of| (resource(base, of), &*of.description)).collect();
        resources.extend(offer.templates.iter().map(|of| (template(base, of), &*of.description)));
        let groups = [("Tools", keep(tools)), ("Prompts", keep(prompts)), ("Resources", keep(resources))];
        let groups: Vec<_> = groups.into_iter().filter(|(_, entries)| !entries.is_empty()).collect();
        Self {
            shown: groups.iter().map(|(_, entries)| entries.len()).sum(),
            all: offer.tools.len() + offer.prompts.len() + offer.resources.len() + offer.templates.len(),
            groups,
        }
    }
}
