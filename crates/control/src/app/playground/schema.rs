//! Forms out of JSON Schemas: the arguments of a tool, or what a server asks a person (2020-12 and what older drafts spell alike).
//!
//! What a form cannot show becomes a field for JSON, so every schema gives a form, and none of them can make it large. Only what is needed
//! to read a field is checked here; whether arguments are right is the server's to say.

mod fill;
mod read;
mod refs;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::json::Json;
use refs::Refs;

/// Objects within objects are shown as groups down to here.
const DEEPEST: usize = 3;
/// A schema with more fields has the rest as JSON.
const MOST_FIELDS: usize = 200;
/// A choice of more is a text.
const MOST_CHOICES: usize = 1000;
/// The longest description, in characters.
const LONGEST_HELP: usize = 2000;

/// What was posted, by the names of fields.
pub(crate) type Typed = BTreeMap<String, Vec<String>>;
/// What is wrong, by the names of fields.
pub(crate) type Errors = BTreeMap<String, String>;

/// A form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) fields: Vec<Field>,
}

/// One member of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    /// The name of what is posted.
    pub(crate) path: String,
    /// The member's name.
    pub(crate) name: String,
    /// What people read.
    pub(crate) label: String,
    /// Further words.
    pub(crate) help: Option<String>,
    /// Whether the object must have it.
    pub(crate) required: bool,
    /// How it is typed.
    pub(crate) kind: Kind,
    /// What is there when nobody typed anything.
    default: Option<Json>,
}

/// How a field is typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One text.
    Text(Text),
    /// One number.
    Number(Number),
    /// Yes or no. A box that is ticked or not, where one of both is sent in any case; else a choice, with neither.
    Flag { is_box: bool },
    /// One of several values.
    One(Vec<Choice>),
    /// Any of several values.
    Many(Vec<Choice>),
    /// A list, one value a line.
    Lines(Item),
    /// An object.
    Group(Vec<Field>),
    /// A value that nobody chooses.
    Fixed(Json),
    /// JSON, and why.
    Raw(&'static str),
}

/// What a text must be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Text {
    /// `email`, `url`, `date`, or none of them.
    pub(crate) input: Option<&'static str>,
    /// An example of the format.
    pub(crate) example: Option<&'static str>,
    /// In characters.
    pub(crate) min: Option<u64>,
    /// In characters.
    pub(crate) max: Option<u64>,
    /// As an `input` wants it: of the whole text.
    pub(crate) pattern: Option<String>,
}

/// What a number must be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Number {
    pub(crate) whole: bool,
    pub(crate) min: Option<String>,
    pub(crate) max: Option<String>,
    pub(crate) step: Option<String>,
}

/// What each line of a list is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Item {
    Text,
    Number,
    Whole,
    Flag,
}

/// One of several values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    /// The value, as JSON on one line.
    pub(crate) value: String,
    /// What people read.
    pub(crate) label: String,
}

impl Form {
    /// The form of a schema; `root` is what the names of its fields begin with.
    pub(crate) fn of(schema: &Json, root: &str) -> Self {
        let mut maker = Maker { refs: Refs::new(schema), left: MOST_FIELDS, is_sent: true };
        let mut seen = Vec::new();
        let fields = match maker.settled(schema, &mut seen) {
            Some(schema) => maker.fields(&schema, root, 0, &mut seen),
            None => Vec::new(),
        };
        Self { fields }
    }

    /// What is typed in an untouched form.
    pub(crate) fn untouched(&self) -> Typed {
        let mut typed = Typed::new();
        fill::untouched(&self.fields, &mut typed);
        typed
    }

    /// The form that shows an object; `None` when it would not give it back.
    pub(crate) fn show(&self, object: &Json) -> Option<Typed> {
        let mut typed = Typed::new();
        fill::members(&self.fields, object, &mut typed);
        self.read(&typed).0.is_same(object).then_some(typed)
    }

    /// The object that was typed, without what is wrong.
    pub(crate) fn read(&self, typed: &Typed) -> (Json, Errors) {
        let mut errors = Errors::new();
        let object = Json::Object(read::members(&self.fields, typed, &mut errors));
        (object, errors)
    }
}

struct Maker<'a> {
    refs: Refs<'a>,
    left: usize,
    /// Whether the object under way is sent in any case.
    is_sent: bool,
}

impl Maker<'_> {
    fn fields(&mut self, schema: &Json, root: &str, depth: usize, seen: &mut Vec<String>) -> Vec<Field> {
        let required = schema.list_of("required");
        let is_required = |name: &str| required.iter().any(|item| item.as_str() == Some(name));
        let mut fields: Vec<Field> = Vec::new();
        for (name, property) in schema.members_of("properties") {
            if fields.iter().any(|field| field.name == *name) {
                continue;
            }
            fields.push(self.field(name, property, is_required(name), root, depth, seen));
        }
        // What must be given comes first; the schema's order stays otherwise.
        fields.sort_by_key(|field| !field.required);
        fields
    }

    fn field(
        &mut self,
        name: &str,
        property: &Json,
        required: bool,
        root: &str,
        depth: usize,
        seen: &mut Vec<String>,
    ) -> Field {
        let path = format!("{root}/{}", name.replace('~', "~0").replace('/', "~1"));
        let before = seen.len();
        let schema = self.settled(property, seen);
        let kind = match &schema {
            _ if self.left == 0 => Kind::Raw("the schema has too many fields for a form"),
            None => Kind::Raw("the schema refers to itself or to something that it does not have"),
            Some(schema) => {
                self.left -= 1;
                self.kind(schema, required, &path, depth, seen)
            }
        };
        seen.truncate(before);
        let shown = schema.as_ref().unwrap_or(property);
        let label = shown.str_of("title").map(str::trim).filter(|title| !title.is_empty()).unwrap_or(name);
        let help = shown.str_of("description").filter(|text| !text.trim().is_empty());
        Field {
            label: label.to_owned(),
            help: help.map(|text| text.chars().take(LONGEST_HELP).collect()),
            default: shown.get("default").filter(|default| **default != Json::Null).cloned(),
            name: name.to_owned(),
            path,
            required,
            kind,
        }
    }

    fn kind(
        &mut self,
        schema: &Json,
        required: bool,
        path: &str,
        depth: usize,
        seen: &mut Vec<String>,
    ) -> Kind {
        if let Some(choices) = choices(schema) {
            return match <[Choice; 1]>::try_from(choices) {
                // What need not be given is chosen all the same.
                Ok([only]) if required && self.is_sent => {
                    Kind::Fixed(Json::parse(&only.value).unwrap_or(Json::Null))
                }
                Ok([only]) => Kind::One(vec![only]),
                Err(choices) => Kind::One(choices),
            };
        }
        let is_object = schema.get("properties").is_some();
        if !is_object && ["oneOf", "anyOf", "allOf"].iter().any(|key| schema.get(key).is_some()) {
            return Kind::Raw("it may have several shapes");
        }
        match type_of(schema) {
            Some("string") => Kind::Text(text(schema)),
            Some(word @ ("integer" | "number")) => Kind::Number(number(schema, word == "integer")),
            Some("boolean") => Kind::Flag { is_box: required && self.is_sent },
            Some("array") => self.list(schema, seen),
            Some("object") if !is_object => Kind::Raw("its members have names of their own"),
            Some("object") if depth + 1 < DEEPEST => {
                let before = self.is_sent;
                self.is_sent = required && before;
                let fields = self.fields(schema, path, depth + 1, seen);
                self.is_sent = before;
                Kind::Group(fields)
            }
            Some("object") => Kind::Raw("it is nested too deep for a form"),
            Some("null") => Kind::Fixed(Json::Null),
            _ => Kind::Raw("it may be anything"),
        }
    }

    /// The schema itself, in one shape. `None`: it refers to itself or out of the schema.
    fn settled(&self, schema: &Json, seen: &mut Vec<String>) -> Option<Json> {
        let schema = plain(&self.refs.resolved(schema, seen)?);
        if schema.get("$ref").is_none() {
            return Some(schema);
        }
        Some(plain(&self.refs.resolved(&schema, seen)?))
    }

    fn list(&self, schema: &Json, seen: &mut Vec<String>) -> Kind {
        let before = seen.len();
        let item = schema.get("items").and_then(|items| self.settled(items, seen));
        seen.truncate(before);
        let Some(item) = item else { return Kind::Raw("a list of anything") };
        if let Some(choices) = choices(&item) {
            return Kind::Many(choices);
        }
        if ["oneOf", "anyOf", "allOf"].iter().any(|key| item.get(key).is_some()) {
            return Kind::Raw("a list of several shapes");
        }
        match type_of(&item) {
            Some("string") => Kind::Lines(Item::Text),
            Some("number") => Kind::Lines(Item::Number),
            Some("integer") => Kind::Lines(Item::Whole),
            Some("boolean") => Kind::Lines(Item::Flag),
            _ => Kind::Raw("a list of objects or lists"),
        }
    }
}

/// Without what only says that null is taken too, and without an `allOf` of one.
fn plain(schema: &Json) -> Json {
    let is_null = |of: &Json| of.str_of("type") == Some("null") && of.members().len() == 1;
    for key in ["anyOf", "oneOf", "allOf"] {
        let others: Vec<&Json> = schema.list_of(key).iter().filter(|of| !is_null(of)).collect();
        if let [only] = others.as_slice() {
            let own = schema.members().iter().filter(|(name, _)| name != key).cloned();
            return Json::Object(only.members().iter().cloned().chain(own).collect());
        }
    }
    schema.clone()
}

/// Its one type beside null; where none is said, what its keywords are of.
fn type_of(schema: &Json) -> Option<&str> {
    match schema.get("type") {
        Some(Json::Text(word)) => Some(word),
        Some(Json::List(words)) => {
            let mut others = words.iter().filter_map(Json::as_str).filter(|word| *word != "null");
            let first = others.next();
            first.filter(|_| others.next().is_none())
        }
        _ if schema.get("properties").is_some() => Some("object"),
        _ if schema.get("items").is_some() => Some("array"),
        _ => None,
    }
}

/// The values that a schema lists. `enumNames` is what elicitation had before 2025-11-25; since then it has `const` and `title`.
fn choices(schema: &Json) -> Option<Vec<Choice>> {
    let shown = |value: &Json| value.as_str().map_or_else(|| value.compact(), str::to_owned);
    let titled = |of: &Json| {
        let value = of.get("const")?;
        let label = of.str_of("title").map_or_else(|| shown(value), str::to_owned);
        Some(Choice { value: value.compact(), label })
    };
    let found: Vec<Choice> = if let Some(only) = titled(schema) {
        vec![only]
    } else if let Some(Json::List(values)) = schema.get("enum") {
        let names = schema.list_of("enumNames");
        let label = |at: usize, value: &Json| {
            names.get(at).and_then(Json::as_str).map_or_else(|| shown(value), str::to_owned)
        };
        values
            .iter()
            .enumerate()
            .map(|(at, value)| Choice { value: value.compact(), label: label(at, value) })
            .collect()
    } else {
        let list = ["oneOf", "anyOf"].into_iter().find(|key| schema.get(key).is_some())?;
        schema.list_of(list).iter().map(titled).collect::<Option<_>>()?
    };
    (1..=MOST_CHOICES).contains(&found.len()).then_some(found)
}

fn text(schema: &Json) -> Text {
    let (input, example) = match schema.str_of("format") {
        Some("email" | "idn-email") => (Some("email"), None),
        Some("uri" | "url" | "iri") => (Some("url"), Some("https://…")),
        Some("date") => (Some("date"), None),
        Some("date-time") => (None, Some("2026-11-30T09:30:00Z")),
        Some("time") => (None, Some("09:30:00Z")),
        Some("duration") => (None, Some("PT1H30M")),
        Some("uuid") => (None, Some("xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx")),
        Some("ipv4") => (None, Some("192.0.2.1")),
        Some("ipv6") => (None, Some("2001:db8::1")),
        Some("hostname") => (None, Some("host.example")),
        _ => (None, None),
    };
    // JSON Schema looks for a match anywhere in the text, HTML wants all of it to match.
    let pattern = schema.str_of("pattern").map(|pattern| format!("[\\s\\S]*(?:{pattern})[\\s\\S]*"));
    Text { input, example, min: count(schema, "minLength"), max: count(schema, "maxLength"), pattern }
}

fn count(schema: &Json, key: &str) -> Option<u64> {
    digits(schema, key)?.parse().ok()
}

fn digits(schema: &Json, key: &str) -> Option<String> {
    match schema.get(key) {
        Some(Json::Number(digits)) => Some(digits.clone()),
        _ => None,
    }
}

fn number(schema: &Json, whole: bool) -> Number {
    let exclusive = |key: &str, by: i64| {
        let bound: i64 = digits(schema, key).filter(|_| whole)?.parse().ok()?;
        Some(bound.checked_add(by)?.to_string())
    };
    Number {
        whole,
        min: digits(schema, "minimum").or_else(|| exclusive("exclusiveMinimum", 1)),
        max: digits(schema, "maximum").or_else(|| exclusive("exclusiveMaximum", -1)),
        step: digits(schema, "multipleOf").filter(|step| step.parse::<f64>().is_ok_and(|step| 0.0 < step)),
    }
}
