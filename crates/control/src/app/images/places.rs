//! Where images may be fetched from. Who deploys names a registry, and a registry says where its tokens and its files are: without a
//! limit both could have the control plane read what only it reaches.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use domain::registry::{HUB, RegistryHost};
use fetch::is_open;
use reqwest::Url;
use reqwest::dns::{Name, Resolve, Resolving};

/// Where Docker Hub has its images.
const REGISTRY_OF_HUB: &str = "registry-1.docker.io";
/// What names the proxy that this process speaks through.
const PROXIES: [&str; 6] =
    ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];

/// Registries at addresses of the internet, by TLS; and what an operator named, wherever it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Places {
    named: Vec<Url>,
}

/// It was not named, and is no place that everybody reaches.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no address of the internet with TLS, and this control plane was not told to fetch images from there"
)]
pub(crate) struct Closed(String);

impl Places {
    /// From `HOST[:PORT]`, or `http://HOST[:PORT]` for one without TLS.
    ///
    /// # Errors
    /// Which of them is neither.
    pub(crate) fn new(named: &[String]) -> Result<Self, String> {
        let parse = |text: &String| {
            let full = if text.contains("://") { text.clone() } else { format!("https://{text}") };
            let url = Url::parse(&full).ok().filter(|url| {
                matches!(url.scheme(), "http" | "https")
                    && url.path() == "/"
                    && url.query().is_none()
                    && url.fragment().is_none()
                    && url.username().is_empty()
            });
            url.ok_or_else(|| {
                format!("`{text}` is no registry of images: write `registry.example.com:5000`, or `http://…` for one without TLS")
            })
        };
        Ok(Self { named: named.iter().map(parse).collect::<Result<_, _>>()? })
    }

    /// Where a registry has what a path names.
    pub(super) fn of(&self, registry: &RegistryHost, path: &str) -> Result<Url, Closed> {
        let host = if registry.as_str() == HUB { REGISTRY_OF_HUB } else { registry.as_str() };
        let url = |scheme: &str| Url::parse(&format!("{scheme}://{host}/v2/{path}")).ok();
        let plain = url("http").filter(|url| self.names(url));
        let url = plain.or_else(|| url("https")).ok_or_else(|| Closed(host.to_owned()))?;
        self.check(&url)?;
        Ok(url)
    }

    /// Whether a registry may send there.
    pub(super) fn check(&self, url: &Url) -> Result<(), Closed> {
        let closed = || Closed(url.host_str().unwrap_or_default().to_owned());
        if self.names(url) {
            return Ok(());
        }
        let is_open = match url.domain() {
            // What the name leads to is seen when it is resolved, unless it is a named one's.
            Some(name) => !self.has(name),
            None => address(url).is_some_and(is_open),
        };
        if url.scheme() == "https" && is_open { Ok(()) } else { Err(closed()) }
    }

    fn names(&self, url: &Url) -> bool {
        self.named.iter().any(|named| named.origin() == url.origin())
    }

    fn has(&self, host: &str) -> bool {
        self.named.iter().any(|named| named.host_str() == Some(host))
    }

    /// Finds addresses for names, and none that is not of the internet unless the name was named.
    pub(super) fn resolver(&self) -> Arc<Resolver> {
        let proxy = |name: &str| {
            let text = std::env::var(name).ok()?;
            let full = if text.contains("://") { text } else { format!("http://{text}") };
            Url::parse(&full).ok()
        };
        let named = self.named.iter().cloned().chain(PROXIES.into_iter().filter_map(proxy)).collect();
        Arc::new(Resolver(Self { named }))
    }
}

/// See [`Places::resolver`].
#[derive(Debug)]
pub(super) struct Resolver(Places);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let is_named = self.0.has(name.as_str());
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let found: Vec<SocketAddr> = found.filter(|found| is_named || is_open(found.ip())).collect();
            if found.is_empty() {
                return Err(Closed(name.as_str().to_owned()).into());
            }
            Ok(Box::new(found.into_iter()) as Box<_>)
        })
    }
}

fn address(url: &Url) -> Option<IpAddr> {
    url.host_str()?.trim_matches(['[', ']']).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(all: &[&str]) -> Places {
        Places::new(&all.iter().map(|&text| text.to_owned()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn what_was_not_named_is_of_the_internet_and_has_tls() {
        let places = named(&["10.0.0.5:5000", "http://r.corp:5000", "auth.corp"]);
        let check = |url: &str, expected: bool| {
            assert_eq!(places.check(&url.parse().unwrap()).is_ok(), expected, "{url}");
        };
        for url in [
            "https://ghcr.io/x",
            "https://1.1.1.1/x",
            "https://[2606:4700::1]/x",
            "https://10.0.0.5:5000/x",
            "http://r.corp:5000/x",
            "https://auth.corp/token",
        ] {
            check(url, true);
        }
        for url in [
            "http://ghcr.io/x",
            "http://10.0.0.5:5000/x",
            "https://10.0.0.5/x",
            "https://r.corp:5000/x",
            "https://auth.corp:22/x",
            "http://169.254.169.254/latest",
            "https://169.254.169.254/latest",
            "https://127.0.0.1/x",
            "https://2130706433/x",
            "https://[::1]/x",
            "https://[::ffff:10.0.0.1]/x",
            "https://[fd00::1]/x",
            "https://[fe80::1]/x",
            "https://[2002:a00:1::]/x",
            "https://[64:ff9b::a00:1]/x",
            "ftp://ghcr.io/x",
        ] {
            check(url, false);
        }
    }

    #[test]
    fn registries_lead_somewhere() {
        let places = named(&["http://127.0.0.1:5000", "r.corp"]);
        let check = |registry: &str, expected: Option<&str>| {
            let url = places.of(&registry.parse().unwrap(), "a/manifests/1").ok();
            assert_eq!(url.as_ref().map(Url::as_str), expected, "{registry}");
        };
        check("docker.io", Some("https://registry-1.docker.io/v2/a/manifests/1"));
        check("ghcr.io", Some("https://ghcr.io/v2/a/manifests/1"));
        check("127.0.0.1:5000", Some("http://127.0.0.1:5000/v2/a/manifests/1"));
        check("r.corp", Some("https://r.corp/v2/a/manifests/1"));
        check("127.0.0.1:5001", None);
        check("r.corp:5000", None);
        for text in ["", "a/b", "ftp://a", "http://a/b", "http://me@a", "a?x"] {
            let error = Places::new(&[text.to_owned()]).unwrap_err();
            assert!(error.contains("no registry of images"), "{text}: {error}");
        }
    }

    #[tokio::test]
    async fn names_lead_to_nothing_closed() {
        let ask = async |places: Places| {
            let found = places.resolver().resolve("localhost".parse().unwrap()).await;
            found.map(Iterator::count).map_err(|error| error.to_string())
        };
        assert!(ask(named(&[])).await.unwrap_err().contains("`localhost`"));
        assert!(0 < ask(named(&["localhost:5000"])).await.unwrap());
    }
}
