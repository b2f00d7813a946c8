//! `server.json`, as the MCP Registry and what is compatible with it publish servers, made into entries of the catalog.
//!
//! Every released shape of it is read: 2025-12-11 and what was before, down to the one of May 2025. Fields that are not known are kept
//! and mean nothing. An entry that cannot be deployed is one all the same, and says why.

mod arguments;
mod category;
mod inputs;
mod run;
mod versions;

use serde_json::Value;

use crate::catalog::{CatalogEntry, Listing, Standing};
use crate::ids::CatalogEntryId;
use crate::time::Timestamp;
use run::Run;
pub use versions::newest;

/// The longest name, in characters (2025-12-11).
const MAX_NAME: usize = 200;
/// The longest version, in characters (2025-12-11).
const MAX_VERSION: usize = 255;
/// What is shown of a title and of a description, in characters.
const MAX_TITLE: usize = 100;
const MAX_DESCRIPTION: usize = 500;
/// What a version is called that says none.
const NO_VERSION: &str = "latest";
/// Where the registry's own words about a version are.
const META: [&str; 2] =
    ["io.modelcontextprotocol.registry/official", "io.modelcontextprotocol.registry.publisher-provided"];

/// Where a publisher's own words are (2025-12-11).
pub const PROVIDED: &str = "io.modelcontextprotocol.registry/publisher-provided";

/// Why a document is none of a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is no JSON.
    #[error("it is not JSON: {0}")]
    Json(String),
    /// It is neither a server, nor a list of them, nor a page of a registry.
    #[error("it is no server.json, no list of them and no page of a registry's `/v0.1/servers`")]
    Shape,
    /// It has no name, or one that is none.
    #[error("`{0}` is no name of a server, such as `io.github.owner/name`")]
    Name(String),
    /// Its version is none.
    #[error("`{0}` has a version that is longer than {MAX_VERSION} characters")]
    Version(String),
}

/// The servers of a document: of one server, a list of them, or a page of a registry.
///
/// # Errors
/// [`Unreadable::Json`], [`Unreadable::Shape`].
pub fn split(text: &[u8]) -> Result<Vec<Value>, Unreadable> {
    let document: Value =
        serde_json::from_slice(text).map_err(|error| Unreadable::Json(error.to_string()))?;
    match document {
        Value::Array(list) => Ok(list),
        Value::Object(mut object) => match object.remove("servers") {
            Some(Value::Array(list)) => Ok(list),
            None if object.contains_key("server") || object.contains_key("name") => {
                Ok(vec![Value::Object(object)])
            }
            Some(_) | None => Err(Unreadable::Shape),
        },
        _ => Err(Unreadable::Shape),
    }
}

/// What a registry says of one version of one server.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Its name, such as `io.github.owner/name`.
    pub name: String,
    /// The version; `latest` where it says none.
    pub version: String,
    /// The `server.json`.
    pub server: Value,
    /// What its registry says of it.
    pub status: Standing,
    /// Why, where that was said.
    pub status_message: Option<String>,
    /// Whether its registry says that it is the newest version; absent: it does not say.
    pub is_latest: Option<bool>,
    /// When it was published.
    pub published_at: Option<Timestamp>,
    /// When its registry last changed anything about it.
    pub updated_at: Option<Timestamp>,
}

impl Document {
    /// Reads one of [`split`]: with a registry's words around it, or alone.
    ///
    /// # Errors
    /// [`Unreadable::Shape`], [`Unreadable::Name`], [`Unreadable::Version`].
    pub fn read(value: Value) -> Result<Self, Unreadable> {
        let Value::Object(mut outer) = value else { return Err(Unreadable::Shape) };
        let (server, around) = match outer.remove("server") {
            Some(server @ Value::Object(_)) => (server, Value::Object(outer)),
            Some(_) => return Err(Unreadable::Shape),
            None => (Value::Object(outer), Value::Null),
        };
        let name = text(&server, &["name"]).unwrap_or_default();
        if !is_name(&name) {
            return Err(Unreadable::Name(shown(&name, MAX_NAME)));
        }
        let detail = server.get("version_detail").unwrap_or(&Value::Null).clone();
        let of_package = || text(first(&server, &["packages"])?.get(0)?, &["version"]);
        let version = text(&server, &["version"])
            .or_else(|| text(&detail, &["version"]))
            .or_else(of_package)
            .unwrap_or_else(|| NO_VERSION.to_owned());
        if MAX_VERSION < version.chars().count() || version.chars().any(char::is_control) {
            return Err(Unreadable::Version(name));
        }
        let meta = official(&around).or_else(|| official(&server)).unwrap_or(&Value::Null);
        let word = text(meta, &["status"]).or_else(|| text(&server, &["status"]));
        let time = |names: &[&str]| {
            text(meta, names).or_else(|| text(&detail, names)).and_then(|text| text.parse().ok())
        };
        Ok(Self {
            status: word.and_then(|word| Standing::of_word(&word)).unwrap_or_default(),
            status_message: text(meta, &["statusMessage", "status_message"])
                .map(|message| shown(&message, MAX_DESCRIPTION)),
            is_latest: boolean(meta, &["isLatest", "is_latest"]).or_else(|| boolean(&detail, &["is_latest"])),
            published_at: time(&["publishedAt", "published_at", "release_date"]),
            updated_at: time(&["updatedAt", "updated_at", "release_date"]),
            name,
            version,
            server,
        })
    }

    /// The entry that it makes.
    pub fn entry(&self, id: CatalogEntryId, source: &str, verified: bool) -> CatalogEntry {
        let (publisher, base) = self.name.split_once('/').unwrap_or(("", &self.name));
        let is_old = self.server.get("version_detail").is_some();
        let Run { package, launch, inputs, templates, unavailable, also } = run::of(&self.server, is_old);
        let title = text(&self.server, &["title"]).map(|title| shown(&title, MAX_TITLE));
        let title = title.filter(|title| !title.is_empty()).unwrap_or_else(|| words(base));
        let description = text(&self.server, &["description"]).unwrap_or_default();
        let description = shown(&description, MAX_DESCRIPTION);
        let repository = self.server.get("repository").unwrap_or(&Value::Null);
        let provided = self.server.get("_meta").and_then(|meta| meta.get(PROVIDED));
        let said = provided.and_then(|provided| text(provided, &["category"]));
        let icon = first(&self.server, &["icons"]).and_then(|icons| text(icons.get(0)?, &["src"]));
        CatalogEntry {
            id,
            name: self.name.clone(),
            category: category::of(said.as_deref(), base, &title, &description).to_owned(),
            title,
            description,
            transport: launch.transport,
            package,
            launch,
            inputs,
            templates,
            documentation_url: text(&self.server, &["websiteUrl", "website_url"]).filter(|url| is_page(url)),
            listing: Listing {
                source: Some(source.to_owned()),
                version: Some(self.version.clone()),
                publisher: Some(publisher.to_owned()),
                status: self.status,
                status_message: self.status_message.clone(),
                published_at: self.published_at,
                updated_at: self.updated_at,
                repository_url: text(repository, &["url"]).filter(|url| is_page(url)),
                icon_url: icon.filter(|url| is_page(url)),
                verified,
                offline: false,
                unavailable,
                also,
            },
        }
    }
}

/// `^[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+$`, 3 to 200 characters (2025-12-11).
fn is_name(text: &str) -> bool {
    let Some((namespace, base)) = text.split_once('/') else { return false };
    let is_word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-');
    text.len() <= MAX_NAME
        && !namespace.is_empty()
        && !base.is_empty()
        && namespace.bytes().all(is_word)
        && base.bytes().all(|b| is_word(b) || b == b'_')
}

/// An address that a link may lead to.
fn is_page(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).unwrap_or_default();
    !rest.is_empty()
        && url.len() <= 2048
        && url.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'<' | b'>' | b'\\' | b'`'))
}

fn official(value: &Value) -> Option<&Value> {
    let meta = value.get("_meta")?;
    META.iter().find_map(|name| meta.get(name)).or_else(|| value.get("x-io.modelcontextprotocol.registry"))
}

/// A field of one of several names: the shapes differ in how they write them.
fn first<'a>(value: &'a Value, names: &[&str]) -> Option<&'a Value> {
    names.iter().find_map(|name| value.get(name)).filter(|value| !value.is_null())
}

/// A text that is not empty; a number or a boolean is one too.
fn text(value: &Value, names: &[&str]) -> Option<String> {
    let text = match first(value, names)? {
        Value::String(text) => text.trim().to_owned(),
        value @ (Value::Number(_) | Value::Bool(_)) => value.to_string(),
        _ => return None,
    };
    Some(text).filter(|text| !text.is_empty())
}

fn boolean(value: &Value, names: &[&str]) -> Option<bool> {
    first(value, names)?.as_bool()
}

fn list<'a>(value: &'a Value, names: &[&str]) -> impl Iterator<Item = &'a Value> {
    first(value, names).and_then(Value::as_array).into_iter().flatten()
}

/// A text of strangers in one line, cut to a length in characters.
fn shown(text: &str, most: usize) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let plain = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    if plain.chars().count() <= most {
        return plain;
    }
    let cut: String = plain.chars().take(most - 1).collect();
    format!("{cut}…")
}

/// A name as words: `mcp-server_git` is `Mcp server git`.
fn words(name: &str) -> String {
    let spaced = name.replace(['-', '_', '.'], " ");
    let mut letters = spaced.trim().chars();
    letters.next().map_or_else(|| name.to_owned(), |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests;
