//! Fetching what strangers name: documents of MCP clients and their keys. Whoever names a URL must not reach through us what only
//! we can reach, so a name is looked up once, private addresses are refused, and the connection goes to the very addresses that
//! were judged (MCP, Security Best Practices: "Server-Side Request Forgery").

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, Uri};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use serde::de::DeserializeOwned;

/// How long one fetch may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The largest document, in bytes.
const MAX: usize = 64 << 10;
/// The longest URL, in bytes.
const MAX_URL: usize = 2048;
/// For how long a document is good, at least and at most, whatever its server says.
const FRESH: std::ops::RangeInclusive<u64> = 300..=86_400;

/// Why a URL is not fetched, or gave nothing; in words for whoever named it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OutsideError {
    /// It may not be asked for.
    #[error("it is not fetched: {0}")]
    Url(&'static str),
    /// Its host has no public address.
    #[error("it is not fetched: its host has no public address")]
    Private,
    /// Nobody answered, or not in time.
    #[error("it cannot be fetched: {0}")]
    Unreachable(String),
    /// What answered is no such document.
    #[error("what is there is no document: {0}")]
    Document(String),
}

/// Fetches. One per process.
#[derive(Debug)]
pub(crate) struct Outside {
    client: Option<reqwest::Client>,
    private: bool,
}

impl Outside {
    /// `private`: private addresses are asked too, and those of this machine over plain HTTP.
    pub(crate) fn new(private: bool) -> Self {
        let client = reqwest::Client::builder()
            .dns_resolver(Arc::new(Guard { private }))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(PATIENCE)
            .user_agent(concat!("berth/", env!("CARGO_PKG_VERSION")))
            .build();
        Self { client: client.ok(), private }
    }

    /// Whether a URL may be asked for, as far as it can be read from it.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn judge(&self, url: &str) -> Result<(), OutsideError> {
        if MAX_URL < url.len() || !url.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(OutsideError::Url("it is longer than 2048 characters, or has some that no URL has"));
        }
        let uri: Uri = url.parse().map_err(|_| OutsideError::Url("it is no URL"))?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(OutsideError::Url("it is no absolute URL"));
        };
        let host = authority.host();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
        let is_own = host == "localhost" || address.is_some_and(|address| address.is_loopback());
        if scheme != "https" && !(self.private && scheme == "http" && is_own) {
            return Err(OutsideError::Url("it does not begin with `https://`"));
        }
        if authority.as_str().contains('@') || url.contains('#') {
            return Err(OutsideError::Url("it has a user, a password or a fragment"));
        }
        if uri.path().split('/').any(|part| matches!(part, "." | "..")) {
            return Err(OutsideError::Url("it has `.` or `..` in its path"));
        }
        if address.is_some_and(|address| !self.private && !is_public(address)) {
            return Err(OutsideError::Private);
        }
        Ok(())
    }

    /// The JSON document at a URL, and for how many seconds it need not be fetched again.
    ///
    /// # Errors
    /// [`OutsideError`].
    pub(crate) async fn json<T: DeserializeOwned>(&self, url: &str) -> Result<(T, u64), OutsideError> {
        self.judge(url)?;
        let client = self
            .client
            .as_ref()
            .ok_or_else(|| OutsideError::Unreachable("no TLS client could be made".to_owned()))?;
        let unreachable = |error: reqwest::Error| {
            let mut cause: &dyn std::error::Error = &error;
            while let Some(next) = cause.source() {
                cause = next;
            }
            if cause.is::<Refused>() {
                return OutsideError::Private;
            }
            // What is wrong, without the URL, which whoever named it knows.
            OutsideError::Unreachable(if error.is_timeout() {
                format!("it did not answer within {} s", PATIENCE.as_secs())
            } else {
                cause.to_string()
            })
        };
        let mut response =
            client.get(url).header("accept", "application/json").send().await.map_err(unreachable)?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(OutsideError::Document(format!("it answered {}", response.status().as_u16())));
        }
        let is_json =
            response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|value| {
                let kind = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
                kind == "application/json" || kind.ends_with("+json")
            });
        if !is_json {
            return Err(OutsideError::Document("it is not of the type `application/json`".to_owned()));
        }
        let fresh = max_age(response.headers());
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await.map_err(unreachable)? {
            if MAX < body.len() + part.len() {
                return Err(OutsideError::Document(format!("it is larger than {MAX} bytes")));
            }
            body.extend_from_slice(&part);
        }
        let document =
            serde_json::from_slice(&body).map_err(|error| OutsideError::Document(error.to_string()))?;
        Ok((document, fresh))
    }
}

/// `Cache-Control` (RFC 9111 §5.2.2), within [`FRESH`].
fn max_age(headers: &HeaderMap) -> u64 {
    let text = headers.get(CACHE_CONTROL).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let said = text.split(',').find_map(|part| part.trim().strip_prefix("max-age=")?.parse::<u64>().ok());
    said.unwrap_or(*FRESH.start()).clamp(*FRESH.start(), *FRESH.end())
}

/// Looks names up and lets no private address through.
#[derive(Debug)]
struct Guard {
    private: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("its host has no public address")]
struct Refused;

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let private = self.private;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> =
                found.filter(|address| private || is_public(address.ip())).collect();
            if allowed.is_empty() {
                return Err(Refused.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// Whether an address is one that anybody on the internet reaches (IANA's special-purpose registries; what is not known to be
/// public is not).
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(a == 0
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || address.is_documentation()
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (18..20).contains(&b))
        || 224 <= a)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let parts = address.segments();
    // What carries an address of IPv4 is as good as that: mapped, NAT64 (RFC 6052), 6to4 (RFC 3056).
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match parts {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        [0x2002, high, low, ..] => v4(high, low),
        // Global unicast alone, without Teredo, benchmarking, ORCHID and documentation.
        [first, second, ..] => {
            (first & 0xe000) == 0x2000
                && !(first == 0x2001 && (second < 0x0200 || second == 0x0db8))
                && !(first == 0x3fff && second < 0x1000)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let check = |text: &str, expected: bool| {
            assert_eq!(is_public(text.parse().unwrap()), expected, "{text}");
        };
        for public in ["1.1.1.1", "93.184.216.34", "2606:2800:220:1::1", "::ffff:1.1.1.1", "64:ff9b::101:101"]
        {
            check(public, true);
        }
        for not in [
            "0.0.0.0",
            "10.0.0.1",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "172.16.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "192.0.0.8",
            "198.18.0.1",
            "203.0.113.5",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::",
            "2001:db8::1",
            "2001::1",
            "3fff::1",
        ] {
            check(not, false);
        }
    }

    #[test]
    fn urls() {
        let check = |private: bool, url: &str, good: bool| {
            assert_eq!(Outside::new(private).judge(url).is_ok(), good, "{url}");
        };
        for private in [false, true] {
            check(private, "https://client.example/me.json", true);
            check(private, "https://client.example:8443/me.json?x=1", true);
            check(private, "http://client.example/me.json", false);
            check(private, "https://me@client.example/me.json", false);
            check(private, "https://client.example/me.json#x", false);
            check(private, "https://client.example/a/../b", false);
            check(private, "file:///etc/passwd", false);
            check(private, "gopher://client.example/", false);
            check(private, "/me.json", false);
            check(private, "", false);
        }
        for of_mine in [
            "https://127.0.0.1/me.json",
            "https://[::1]/me.json",
            "https://169.254.169.254/x",
            "http://localhost:1/x",
        ] {
            check(false, of_mine, false);
            check(true, of_mine, true);
        }
        check(true, "http://10.0.0.1/me.json", false);
    }

    #[tokio::test]
    async fn a_name_of_a_private_address_is_not_asked() {
        let found = Outside::new(false).json::<serde_json::Value>("https://localhost:1/me.json").await;
        assert_eq!(found.unwrap_err(), OutsideError::Private);
        let found = Outside::new(true).json::<serde_json::Value>("https://localhost:1/me.json").await;
        assert!(matches!(found, Err(OutsideError::Unreachable(_))), "{found:?}");
    }
}
