//! The name of a container image in its parts: which registry, what is it called there, which one of it. Not what an
//! image is, nor how it is pulled.

use std::fmt;
use std::str::FromStr;

use crate::package::{PackageError, is_image};
use crate::registry::{HUB, RegistryHost, registry_of};

/// What a name without tag and digest means.
const LATEST: &str = "latest";
/// Where Docker Hub has images whose names have one part.
const OF_HUB: &str = "library";

/// An image's name as it is written, in its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parts<'a> {
    /// The registry, when it is named, and the repository.
    pub name: &'a str,
    /// Its tag, when it has one.
    pub tag: Option<&'a str>,
    /// Its digest, when it has one.
    pub digest: Option<&'a str>,
}

impl<'a> Parts<'a> {
    /// What the engine is asked for: by its digest when it has one, else by its tag, and without both as the one that has none.
    pub fn reference(&self) -> &'a str {
        self.digest.or(self.tag).unwrap_or(LATEST)
    }
}

/// Takes an image's name apart, whether or not it is one.
pub fn parts(image: &str) -> Parts<'_> {
    let (name, digest) = image.split_once('@').map_or((image, None), |(name, digest)| (name, Some(digest)));
    // A colon before the last slash is a port's.
    let colon = name.rfind(':').filter(|&colon| name.rfind('/').is_none_or(|slash| slash < colon));
    let (name, tag) = colon.map_or((name, None), |colon| (&name[..colon], Some(&name[colon + 1..])));
    Parts { name, tag, digest }
}

/// A text with an image's name, for lists: of a digest so much that people tell it from others, such as `nginx:1@sha256:0123456789ab…`.
pub fn shortened(text: &str) -> String {
    const SHOWN: usize = 12;
    match text.split_once("@sha256:") {
        // What is shortened is a name that was checked, so every byte of a digest is a letter.
        Some((name, hex)) if SHOWN < hex.len() && hex.is_ascii() => {
            format!("{name}@sha256:{}…", &hex[..SHOWN])
        }
        _ => text.to_owned(),
    }
}

/// An image's name: `ghcr.io/owner/image:1` as registry, repository and reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageName {
    registry: RegistryHost,
    repository: String,
    reference: String,
}

impl ImageName {
    /// Which registry has it.
    pub fn registry(&self) -> &RegistryHost {
        &self.registry
    }

    /// What it is called there, such as `library/nginx`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// Its digest (`sha256:…`) when the name has one, else its tag.
    pub fn reference(&self) -> &str {
        &self.reference
    }

    /// The same repository of the same registry.
    pub fn is_beside(&self, other: &Self) -> bool {
        self.registry == other.registry && self.repository == other.repository
    }
}

impl FromStr for ImageName {
    type Err = PackageError;

    fn from_str(text: &str) -> Result<Self, PackageError> {
        let wrong = || PackageError::ImageName(text.to_owned());
        if !is_image(text) {
            return Err(wrong());
        }
        let registry = registry_of(text).parse::<RegistryHost>().map_err(|_| wrong())?;
        // What is no registry's is the first part of a name on Docker Hub.
        let own = parts(text);
        let path = own
            .name
            .strip_prefix(registry_of(text))
            .and_then(|rest| rest.strip_prefix('/'))
            .unwrap_or(own.name);
        let repository = if registry.as_str() == HUB && !path.contains('/') {
            format!("{OF_HUB}/{path}")
        } else {
            path.to_owned()
        };
        Ok(Self { registry, repository, reference: own.reference().to_owned() })
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let between = if is_digest(&self.reference) { '@' } else { ':' };
        write!(f, "{}/{}{between}{}", self.registry, self.repository, self.reference)
    }
}

/// Whether a text is a digest as images and their parts are known by.
pub fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:")
        .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_three_parts() {
        let digest = format!("sha256:{}", "0f".repeat(32));
        let check = |text: &str, expected: Option<(&str, &str, &str)>| {
            let name = text.parse::<ImageName>().ok();
            let parts =
                name.as_ref().map(|name| (name.registry().as_str(), name.repository(), name.reference()));
            assert_eq!(parts, expected, "{text}");
            // What is shown means the same.
            assert_eq!(name.as_ref().and_then(|name| name.to_string().parse().ok()), name, "{text}");
        };
        check("nginx", Some(("docker.io", "library/nginx", "latest")));
        check("owner/image:1", Some(("docker.io", "owner/image", "1")));
        check("docker.io/nginx", Some(("docker.io", "library/nginx", "latest")));
        check("index.docker.io/library/nginx:1", Some(("docker.io", "library/nginx", "1")));
        check("GHCR.io/a/b/c:x", Some(("ghcr.io", "a/b/c", "x")));
        check("localhost:5000/a", Some(("localhost:5000", "a", "latest")));
        check(&format!("a/b:1@{digest}"), Some(("docker.io", "a/b", &digest)));
        check(&format!("r.example:5000/b@{digest}"), Some(("r.example:5000", "b", &digest)));
        for text in ["", "../x", "a b", "r.example/", "r.-/x", "a@sha256:00"] {
            check(text, None);
        }
    }

    #[test]
    fn names_as_they_are_written() {
        for (image, expected) in [
            ("nginx", ("nginx", None, None, "latest")),
            ("nginx:1", ("nginx", Some("1"), None, "1")),
            ("localhost:5000/a/b", ("localhost:5000/a/b", None, None, "latest")),
            ("localhost:5000/a/b:2", ("localhost:5000/a/b", Some("2"), None, "2")),
            ("a/b:2@sha256:00", ("a/b", Some("2"), Some("sha256:00"), "sha256:00")),
            ("a/b@sha256:00", ("a/b", None, Some("sha256:00"), "sha256:00")),
        ] {
            let own = parts(image);
            assert_eq!((own.name, own.tag, own.digest, own.reference()), expected, "{image}");
        }
    }

    #[test]
    fn digests_in_lists_are_short() {
        let long = format!("oci:a/b:1@sha256:{}", "0123456789abcdef".repeat(4));
        assert_eq!(shortened(&long), "oci:a/b:1@sha256:0123456789ab…");
        for text in ["npm:@a/b@1.0.0", "oci:a@sha256:1", "oci:a@sha256:ééééééééééééé", ""] {
            assert_eq!(shortened(text), text);
        }
    }

    #[test]
    fn the_same_repository() {
        let is = |a: &str, b: &str| a.parse::<ImageName>().unwrap().is_beside(&b.parse().unwrap());
        assert!(is("nginx:1", "docker.io/library/nginx:2"));
        assert!(!is("nginx", "owner/nginx") && !is("ghcr.io/a/b", "quay.io/a/b"));
    }
}
