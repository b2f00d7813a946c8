//! Packages for hosts that reach nothing but this control plane: what may be fetched for them, and from where. The two registries are
//! fixed when the control plane starts; a host chooses no address, only a package.

use std::time::Duration;

use api::errors::ErrorCode;
use http::header::{ACCEPT, HeaderMap, IF_MODIFIED_SINCE, IF_NONE_MATCH};
use http::{HeaderValue, Method};
use reqwest::Url;
use tokio::sync::OnceCell;

use crate::app::images::Places;
use crate::app::problem::Chain;
use crate::app::{Outcome, Problem};

/// A registry that is silent for so long is away.
const SILENCE: Duration = Duration::from_mins(1);
/// What is rewritten is held in memory; the longest list of versions of a package is some ten million bytes.
const LONGEST: usize = 64 << 20;
/// How often a registry may send elsewhere.
const REDIRECTS: usize = 5;

/// Where packages come from. None is built in: an operator names those that the hosts' packages are to come from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Registries {
    npm: Option<Url>,
    /// What the index of PyPI lies below: `https://pypi.example/` of `https://pypi.example/simple`.
    pypi: Option<Url>,
    /// Where the files are that the index names, when they are not below that too.
    files: Option<Url>,
    /// Registries of images that may be anywhere.
    images: Places,
}

impl Registries {
    /// From npm's registry, PyPI's index, which ends in `/simple`, and where the index keeps its files.
    ///
    /// # Errors
    /// Which of them is no such address.
    pub fn new(npm: Option<&str>, pypi: Option<&str>, files: Option<&str>) -> Result<Self, String> {
        let parse = |text: &str| {
            let url = Url::parse(&format!("{}/", text.trim_end_matches('/'))).ok();
            let url = url.filter(|url| matches!(url.scheme(), "http" | "https"));
            let url = url.filter(|url| url.query().is_none() && url.fragment().is_none());
            url.ok_or_else(|| {
                format!("`{text}` is no address of a registry: write it as `https://registry.example.com`")
            })
        };
        let below = |text: &str| match text.trim_end_matches('/').strip_suffix("/simple") {
            Some(below) => parse(below),
            None => Err(format!("`{text}` is no index of PyPI: its address ends in `/simple`")),
        };
        Ok(Self {
            npm: npm.map(parse).transpose()?,
            pypi: pypi.map(below).transpose()?,
            files: files.map(parse).transpose()?,
            images: Places::default(),
        })
    }

    /// The same with registries of images that are not on the internet, each `HOST[:PORT]`, or `http://HOST[:PORT]` without TLS.
    ///
    /// # Errors
    /// Which of them is no such address.
    pub fn with_images(self, named: &[String]) -> Result<Self, String> {
        Ok(Self { images: Places::new(named)?, ..self })
    }

    pub(crate) fn images(&self) -> &Places {
        &self.images
    }

    /// Where a path of the relay leads; `None` for what is no package's, or when nobody has named the registry.
    fn place(&self, registry: &str, path: &str) -> Option<Url> {
        if !is_plain(path) {
            return None;
        }
        match registry {
            "npm" if is_npm(path) => self.npm.as_ref()?.join(path).ok(),
            "pypi" => match path.split_once('/')? {
                ("files", rest) if !rest.is_empty() => self.files.as_ref()?.join(rest).ok(),
                ("simple", rest) if is_project(rest.trim_end_matches('/')) => {
                    self.pypi.as_ref()?.join(path).ok()
                }
                // Of an index whose files lie beside it.
                ("packages", rest) if !rest.is_empty() => self.pypi.as_ref()?.join(path).ok(),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether there is none for what is asked.
    fn lacks(&self, registry: &str) -> bool {
        match registry {
            "npm" => self.npm.is_none(),
            "pypi" => self.pypi.is_none(),
            _ => false,
        }
    }

    fn is_ours(&self, url: &Url) -> bool {
        let own = [&self.npm, &self.pypi, &self.files];
        own.into_iter().flatten().any(|own| own.origin() == url.origin())
    }

    /// Every address of the registries in an answer becomes one of the relay at `base`.
    fn rewrite(&self, registry: &str, base: &str, text: String) -> String {
        let places = match registry {
            "npm" => vec![(&self.npm, "npm/")],
            _ => vec![(&self.files, "pypi/files/"), (&self.pypi, "pypi/")],
        };
        places.into_iter().fold(text, |text, (own, place)| match own {
            Some(own) => text.replace(own.as_str(), &format!("{base}/{place}")),
            None => text,
        })
    }
}

/// Letters, digits and what names and versions hold, in parts that are not empty and lead nowhere else.
fn is_plain(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    // An escaped slash is npm's own way to write `@scope/name`; `+` and `@` are escaped by some.
    let bare = ["%2f", "%2b", "%40"].iter().fold(lower, |text, escape| text.replace(escape, "/x"));
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._~!@+-/".contains(c);
    let inner = bare.strip_suffix('/').unwrap_or(&bare);
    bare.chars().all(allowed) && inner.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// `name`, `@scope/name`, perhaps with `/VERSION` or `/-/FILE`.
fn is_npm(path: &str) -> bool {
    let path = path.replace("%2f", "/").replace("%2F", "/").replace("%40", "@");
    let rest = match path.strip_prefix('@') {
        Some(scoped) => match scoped.split_once('/') {
            Some((_, rest)) => rest,
            None => return false,
        },
        None => &path,
    };
    let parts: Vec<&str> = rest.split('/').collect();
    match parts[..] {
        // What begins with a dash is no package: search, logins, audits.
        [name] | [name, _] => !name.starts_with('-') && parts.last() != Some(&"-"),
        [name, "-", file] => !name.starts_with('-') && is_file(file),
        _ => false,
    }
}

/// A project's name (PEP 508).
fn is_project(name: &str) -> bool {
    let inner = name.trim_matches(|c: char| c.is_ascii_alphanumeric());
    !name.is_empty()
        && !name.contains('/')
        && inner.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

/// Fetches for hosts.
#[derive(Debug)]
pub(crate) struct Relay {
    registries: Registries,
    client: OnceCell<reqwest::Client>,
}

/// What is passed on.
#[derive(Debug)]
pub(crate) enum Fetched {
    /// As it is.
    Stream(reqwest::Response),
    /// With its addresses rewritten.
    Text(reqwest::Response, String),
}

impl Relay {
    pub(crate) fn new(registries: Registries) -> Self {
        Self { registries, client: OnceCell::new() }
    }

    async fn client(&self) -> Outcome<&reqwest::Client> {
        let make = async || {
            let own = self.registries.clone();
            let policy = reqwest::redirect::Policy::custom(move |attempt| {
                if REDIRECTS < attempt.previous().len() || !own.is_ours(attempt.url()) {
                    attempt.stop()
                } else {
                    attempt.follow()
                }
            });
            reqwest::Client::builder()
                .connect_timeout(Duration::from_secs(10))
                .read_timeout(SILENCE)
                .redirect(policy)
                .user_agent(concat!("berth/", env!("CARGO_PKG_VERSION")))
                .build()
        };
        self.client.get_or_try_init(make).await.map_err(|error| {
            tracing::warn!(error = %Chain(&error), "packages cannot be fetched for hosts");
            Problem::refused(ErrorCode::Unavailable, "this control plane can fetch no packages")
                .hint("its log says why; it may lack the system's certificates (`ca-certificates`)")
        })
    }

    /// Fetches one path for a host whose own relay is at `base`.
    ///
    /// # Errors
    /// 404 for what is no package's path, 502 when the registry answers what is none, 503 when it is away.
    pub(crate) async fn fetch(
        &self,
        method: Method,
        (registry, path): (&str, &str),
        base: &str,
        asked: &HeaderMap,
    ) -> Outcome<Fetched> {
        if self.registries.lacks(registry) {
            return Err(Problem::refused(
                ErrorCode::Unavailable,
                format!("this control plane was told no registry of {registry}"),
            )
            .hint("start it with `--npm-registry URL` and `--pypi-index URL`, and `--pypi-files URL` where files lie elsewhere"));
        }
        let place = self.registries.place(registry, path).ok_or_else(|| {
            Problem::refused(ErrorCode::NotFound, "this is no path of a package").hint(
                "packages of npm lie below `npm/`, those of PyPI below `pypi/simple/` and `pypi/files/`",
            )
        })?;
        let mut request = self.client().await?.request(method, place.clone());
        for name in [ACCEPT, IF_NONE_MATCH, IF_MODIFIED_SINCE] {
            request =
                request.headers(asked.get(&name).map(|value| (name, value.clone())).into_iter().collect());
        }
        let away = |error: reqwest::Error| {
            let error = error.without_url();
            tracing::warn!(host = place.host_str(), error = %Chain(&error), "a registry does not answer");
            Problem::refused(
                ErrorCode::Unavailable,
                format!("{} does not answer", place.host_str().unwrap_or_default()),
            )
            .hint("it is the control plane that fetches: it must reach the registries")
        };
        let mut response = request.send().await.map_err(away)?;
        if response.status().is_redirection() && response.status() != 304 {
            return Err(Problem::refused(
                ErrorCode::BadGateway,
                "the registry sends elsewhere, where nothing is fetched from",
            )
            .hint("name the registry itself with `--npm-registry` or `--pypi-index`"));
        }
        let kind = response.headers().get(http::header::CONTENT_TYPE);
        let is_text = kind.and_then(|kind| kind.to_str().ok()).is_some_and(|kind| {
            kind.contains("json") || kind.starts_with("text/html") || kind.contains("simple")
        });
        if !is_text || !response.status().is_success() || is_file(path) {
            return Ok(Fetched::Stream(response));
        }
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await.map_err(away)? {
            if LONGEST < body.len() + part.len() {
                return Err(Problem::refused(ErrorCode::BadGateway, "the registry's answer is too long"));
            }
            body.extend_from_slice(&part);
        }
        let text = String::from_utf8(body)
            .map_err(|_| Problem::refused(ErrorCode::BadGateway, "the registry's answer is no text"))?;
        let text = self.registries.rewrite(registry, base, text);
        Ok(Fetched::Text(response, text))
    }
}

/// What is named by its digest must come as it is.
fn is_file(path: &str) -> bool {
    [".tgz", ".whl", ".gz", ".zip", ".metadata"].iter().any(|end| path.ends_with(end))
}

/// The address of a host's own relay: it is written into what the host reads, so it must be one that is its own.
pub(crate) fn base(headers: &HeaderMap) -> Option<String> {
    let value: &HeaderValue = headers.get(api::dtma::RELAY_BASE)?;
    let port = value.to_str().ok()?.strip_prefix("http://127.0.0.1:")?;
    port.parse::<u16>().ok().map(|port| format!("http://127.0.0.1:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(npm: &str, pypi: &str, files: &str) -> Registries {
        Registries::new(Some(npm), Some(pypi), Some(files)).unwrap()
    }

    #[test]
    fn only_packages_of_the_two_registries() {
        let registries = named("https://npm.example", "https://pypi.example/simple", "https://files.example");
        let check = |registry: &str, path: &str, expected: Option<&str>| {
            let found = registries.place(registry, path);
            assert_eq!(found.as_ref().map(Url::as_str), expected, "{registry}/{path}");
        };
        check("npm", "zod", Some("https://npm.example/zod"));
        check("npm", "@a/b", Some("https://npm.example/@a/b"));
        check("npm", "@a%2fb", Some("https://npm.example/@a%2fb"));
        check("npm", "zod/-/zod-4.0.0.tgz", Some("https://npm.example/zod/-/zod-4.0.0.tgz"));
        check("npm", "@a/b/-/b-1.0.0+x.tgz", Some("https://npm.example/@a/b/-/b-1.0.0+x.tgz"));
        check("npm", "zod/latest", Some("https://npm.example/zod/latest"));
        check("pypi", "simple/six/", Some("https://pypi.example/simple/six/"));
        check(
            "pypi",
            "files/packages/0e/f9/x/six-1.whl",
            Some("https://files.example/packages/0e/f9/x/six-1.whl"),
        );
        for (registry, path) in [
            ("npm", ""),
            ("npm", "-/npm/v1/security/audits"),
            ("npm", "-/v1/search"),
            ("npm", "zod/-/../../x.tgz"),
            ("npm", "zod/-/x"),
            ("npm", "@a"),
            ("npm", "a/b/c/d"),
            ("npm", "//evil.example/x"),
            ("npm", "https://evil.example/"),
            ("npm", "..%2f..%2fx"),
            ("npm", "a%00b"),
            ("npm", "a?b"),
            ("pypi", "simple/"),
            ("pypi", "simple"),
            ("pypi", "simple/a/b"),
            ("pypi", "pypi/six/json"),
            ("pypi", "files/"),
            ("pypi", "files//evil.example/x"),
            ("pypi", "files/../x"),
            ("pypi", "account/login"),
            ("oci", "x"),
        ] {
            check(registry, path, None);
        }
    }

    #[test]
    fn addresses_become_the_hosts_own() {
        let registries =
            named("https://npm.example/r/", "https://pypi.example/root/simple/", "https://files.example");
        let base = "http://127.0.0.1:7";
        let check = |registry: &str, text: &str, expected: &str| {
            assert_eq!(registries.rewrite(registry, base, text.to_owned()), expected);
        };
        check(
            "npm",
            r#""tarball":"https://npm.example/r/a/-/a.tgz""#,
            r#""tarball":"http://127.0.0.1:7/npm/a/-/a.tgz""#,
        );
        check("npm", "https://elsewhere.example/a", "https://elsewhere.example/a");
        check("pypi", "https://files.example/packages/a", "http://127.0.0.1:7/pypi/files/packages/a");
        check("pypi", "https://pypi.example/root/packages/a", "http://127.0.0.1:7/pypi/packages/a");
        assert!(registries.is_ours(&"https://npm.example/else".parse().unwrap()));
        assert!(!registries.is_ours(&"http://169.254.169.254/".parse().unwrap()));
    }

    #[test]
    fn registries() {
        assert!(Registries::new(Some("ftp://x"), None, None).unwrap_err().contains("ftp://x"));
        assert!(Registries::new(None, Some("https://x"), None).unwrap_err().contains("/simple"));
        let none = Registries::new(None, None, None).unwrap();
        assert!(none.lacks("npm") && none.lacks("pypi") && none.place("npm", "zod").is_none());
        let mut headers = HeaderMap::new();
        for (given, expected) in [
            ("http://127.0.0.1:7", Some("http://127.0.0.1:7")),
            ("http://127.0.0.1:7/x", None),
            ("http://evil.example:7", None),
            ("http://127.0.0.1:70000", None),
        ] {
            headers.insert(api::dtma::RELAY_BASE, given.parse().unwrap());
            assert_eq!(base(&headers).as_deref(), expected, "{given}");
        }
    }
}
