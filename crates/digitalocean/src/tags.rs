//! Words that group things. Of the same word in large and small letters there is one only.

use std::fmt;

use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::client::{Call, Client};
use crate::errors::Error;
use crate::retry::Effect;

/// The longest tag.
const LONGEST: usize = 255;

/// A tag: letters, digits, `_`, `-` and `:`, at most 255.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Tag(String);

/// Not a tag.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is no tag: 1 to 255 letters, digits, `_`, `-` and `:`")]
pub struct TagError(String);

impl Tag {
    /// The tag, if it is one.
    pub fn new(text: &str) -> Result<Self, TagError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-:".contains(&byte);
        if text.is_empty() || LONGEST < text.len() || !text.bytes().all(allowed) {
            return Err(TagError(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A tag of the account and how often it is used.
#[derive(Debug, Clone, Deserialize)]
pub struct TagUse {
    /// The tag.
    pub name: String,
    /// What carries it.
    #[serde(default)]
    resources: Resources,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Resources {
    #[serde(default)]
    droplets: Count,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Count {
    #[serde(default)]
    count: u64,
}

impl TagUse {
    /// How many droplets carry it.
    pub fn droplets(&self) -> u64 {
        self.resources.droplets.count
    }
}

impl Client {
    /// All tags.
    pub async fn tags(&self) -> Result<Vec<TagUse>, Error> {
        self.list("tags", &["tags"], &[]).await
    }

    /// One tag.
    pub async fn tag(&self, tag: &Tag) -> Result<TagUse, Error> {
        self.read("tag", &["tags", tag.as_str()]).await
    }

    /// Makes a tag; one that is there stays.
    pub async fn create_tag(&self, tag: &Tag) -> Result<TagUse, Error> {
        let body = json!({"name": tag});
        self.one("tag", Call::new(Method::POST, Effect::Repeatable, &["tags"]).body(&body)?).await
    }

    /// Removes a tag from everything that carries it. One that is not there is removed.
    pub async fn delete_tag(&self, tag: &Tag) -> Result<(), Error> {
        self.delete(&["tags", tag.as_str()]).await
    }

    /// Puts a tag, which has to be there, onto droplets.
    pub async fn tag_droplets(&self, tag: &Tag, droplets: &[u64]) -> Result<(), Error> {
        self.tagging(Method::POST, tag, droplets).await
    }

    /// Takes a tag off droplets.
    pub async fn untag_droplets(&self, tag: &Tag, droplets: &[u64]) -> Result<(), Error> {
        self.tagging(Method::DELETE, tag, droplets).await
    }

    async fn tagging(&self, method: Method, tag: &Tag, droplets: &[u64]) -> Result<(), Error> {
        let resource = |id: &u64| json!({"resource_id": id.to_string(), "resource_type": "droplet"});
        let body = json!({"resources": droplets.iter().map(resource).collect::<Vec<_>>()});
        let path = ["tags", tag.as_str(), "resources"];
        self.send(Call::new(method, Effect::Repeatable, &path).body(&body)?).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_checked() {
        for (text, good) in [
            ("berth:env:1", true),
            ("a_b-C9", true),
            ("", false),
            ("with space", false),
            ("a/b", false),
            ("ä", false),
        ] {
            assert_eq!(Tag::new(text).is_ok(), good, "{text}");
        }
        assert!(Tag::new(&"x".repeat(255)).is_ok());
        assert!(Tag::new(&"x".repeat(256)).is_err());
    }
}
