//! Names and ids of what is imported: valid, free, and the same each time.

use std::collections::BTreeSet;
use std::str::FromStr;

use domain::names::{MAX_NAME, NameError, slug};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::app::{Outcome, Problem};

/// The nearest name to a text that is not taken, which is taken from then on. What has nothing usable is called `otherwise`.
pub(super) fn free<T>(text: Option<&str>, otherwise: &str, taken: &mut BTreeSet<String>) -> Outcome<T>
where
    T: FromStr<Err = NameError>,
{
    let usable = text.filter(|text| text.contains(|c: char| c.is_ascii_alphanumeric()));
    let base = slug(usable.unwrap_or(otherwise));
    let mut name = base.clone();
    let mut number = 2_u32;
    while taken.contains(&name) {
        let suffix = format!("-{number}");
        let kept = base.len().min(MAX_NAME - suffix.len());
        // A slug is ASCII, so every byte is a boundary.
        name = format!("{}{suffix}", base[..kept].trim_end_matches('-'));
        number += 1;
    }
    taken.insert(name.clone());
    name.parse().map_err(|error: NameError| Problem::Failed(Box::new(error)))
}

/// What is said where a name could not stay as it was.
pub(super) fn was(older: Option<&str>, name: &str) -> Option<String> {
    older.filter(|older| *older != name).map(|older| format!("`{older}` there"))
}

/// The id of what the older platform had none for: it follows from what it belongs to.
pub(super) fn derived(kind: &str, of: &str) -> Uuid {
    let hash: [u8; 32] = Sha256::digest(format!("berth import\0{kind}\0{of}").as_bytes()).into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    // Version 8, RFC 9562 §5.8.
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use domain::names::InstanceName;

    use super::*;

    #[test]
    fn names_are_valid_free_and_told() {
        let mut taken = BTreeSet::from(["context7".to_owned()]);
        let mut check = |text: Option<&str>, expected: &str| {
            let name: InstanceName = free(text, "tool", &mut taken).unwrap();
            assert_eq!(name.as_str(), expected);
        };
        check(Some("Context7"), "context7-2");
        check(Some("context7"), "context7-3");
        check(Some("Context7 MCP Server-1750"), "context7-mcp-server-1750");
        check(Some("ä ö"), "tool");
        check(None, "tool-2");
        let long = "x".repeat(80);
        check(Some(&long), &"x".repeat(MAX_NAME));
        check(Some(&long), &format!("{}-2", "x".repeat(MAX_NAME - 2)));
        assert_eq!(was(Some("A"), "a").as_deref(), Some("`A` there"));
        assert_eq!((was(Some("a"), "a"), was(None, "a")), (None, None));
    }

    #[test]
    fn ids_that_follow_are_the_same_each_time_and_differ_by_kind() {
        assert_eq!(derived("toolbelt", "1"), derived("toolbelt", "1"));
        assert_ne!(derived("toolbelt", "1"), derived("toolbelt", "2"));
        assert_ne!(derived("toolbelt", "1"), derived("account", "1"));
        assert_eq!(derived("toolbelt", "1").get_version_num(), 8);
    }
}
