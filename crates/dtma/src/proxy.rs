//! The forward proxy of a host that has no other way out (RFC 9110 §9.3.6, `CONNECT`).

use std::collections::BTreeMap;
use std::str::FromStr;

use domain::secret::Secret;
use reqwest::Url;

/// A proxy's address, perhaps with a user and a password: so it is a secret.
#[derive(Debug, Clone)]
pub struct Proxy {
    url: Secret,
    /// The same, less user and password.
    shown: String,
}

/// A text is no address of a proxy. It is not repeated: it may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write a proxy as `http://proxy.example.com:3128` or `http://USER:PASSWORD@proxy.example.com:3128`")]
pub struct ProxyError;

impl Proxy {
    /// Where it is, without what it is shown.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// The whole of it.
    pub(crate) fn url(&self) -> &Secret {
        &self.url
    }

    /// Sends everything of an HTTP client through it.
    pub fn apply(&self, builder: reqwest::ClientBuilder) -> reqwest::ClientBuilder {
        match reqwest::Proxy::all(self.url.expose()) {
            Ok(proxy) => builder.no_proxy().proxy(proxy),
            // It was parsed as a URL already, which is all that is looked at there.
            Err(_) => builder,
        }
    }

    /// The variables by which npm and pip, and most other programs, know it.
    pub fn variables(&self) -> BTreeMap<String, String> {
        let names = ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"];
        let direct = ["NO_PROXY", "no_proxy"];
        let through = names.map(|name| (name.to_owned(), self.url.expose().to_owned()));
        let past = direct.map(|name| (name.to_owned(), "localhost,127.0.0.1,::1".to_owned()));
        through.into_iter().chain(past).collect()
    }
}

impl FromStr for Proxy {
    type Err = ProxyError;

    fn from_str(text: &str) -> Result<Self, ProxyError> {
        let mut url: Url = text.parse().map_err(|_| ProxyError)?;
        let plain = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
        if url.scheme() != "http" || !url.has_host() || !plain {
            return Err(ProxyError);
        }
        let secret = Secret::new(url.as_str().trim_end_matches('/'));
        url.set_username("").and_then(|()| url.set_password(None)).map_err(|()| ProxyError)?;
        Ok(Self { url: secret, shown: url.as_str().trim_end_matches('/').to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let check = |text: &str, expected: Option<(&str, &str)>| {
            let parsed = text.parse::<Proxy>().ok();
            let found = parsed.as_ref().map(|proxy| (proxy.shown(), proxy.url().expose()));
            assert_eq!(found, expected, "{text}");
        };
        check("http://p:3128", Some(("http://p:3128", "http://p:3128")));
        check("http://me:a%40b@p:3128/", Some(("http://p:3128", "http://me:a%40b@p:3128")));
        for wrong in ["p:3128", "https://p", "socks5://p", "http://p/x", "http://p?x", "", "http://"] {
            check(wrong, None);
        }
        let shown = format!("{:?}", "http://me:hunter2@p:1".parse::<Proxy>().unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
