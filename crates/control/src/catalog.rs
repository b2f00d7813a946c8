//! The built-in catalog: a data file that is part of the binary.

use domain::catalog::CatalogEntry;

/// Whose the built-in entries are.
pub(crate) const PROVIDER: &str = "Official";

const BUILTIN: &str = include_str!("../catalog/builtin.json");

/// The built-in entries.
///
/// # Errors
/// What is wrong in the data file; a test reads it, so a released binary has none.
pub(crate) fn builtin() -> Result<Vec<CatalogEntry>, serde_json::Error> {
    serde_json::from_str(BUILTIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::catalog::Kind;
    use domain::package::Package;
    use std::collections::BTreeSet;

    #[test]
    fn the_data_file_is_whole() {
        let entries = builtin().expect("the data file is readable");
        let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
        assert!(names.starts_with(&["welcome", "everything"]), "what to begin with comes first: {names:?}");
        let distinct: BTreeSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len(), "names are unique");
        let ids: BTreeSet<_> = entries.iter().map(|entry| entry.id).collect();
        assert_eq!(ids.len(), entries.len(), "ids are unique");
        for entry in &entries {
            assert!(entry.name.parse::<domain::names::InstanceName>().is_ok(), "{}", entry.name);
            let package = entry.deployable().expect("it can be deployed");
            let pinned = match package {
                Package::Builtin { .. } => true,
                // A tag of a major version: what it gets are repairs, and its data stays readable.
                Package::Oci { image } => image.rsplit_once(':').is_some_and(|(_, tag)| {
                    image.starts_with("docker.io/library/") && tag.parse::<u32>().is_ok()
                }),
                package => package.version().is_some(),
            };
            assert!(pinned, "{}", entry.name);
            assert_eq!(entry.kind() == Kind::Tool, matches!(package, Package::Oci { .. }), "{}", entry.name);
            for input in &entry.inputs {
                let on_command_line = matches!(input.target, domain::catalog::InputTarget::Argument { .. });
                assert!(!(input.secret && on_command_line), "{}.{} would be shown", entry.name, input.name);
                if let Some(default) = &input.default {
                    assert_eq!(input.format.check(default), Ok(()), "{}.{}", entry.name, input.name);
                }
            }
        }
    }
}
