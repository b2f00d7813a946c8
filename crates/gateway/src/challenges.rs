//! `WWW-Authenticate`: what a client that was refused must know to come back with a token that is good (RFC 6750 §3,
//! RFC 9728 §5.1).

use std::collections::HashMap;

use domain::names::{AccountName, InstanceName};
use http::header::{self, HeaderMap, HeaderValue};

use crate::{AuthError, PREFIX, SSE_SUFFIX};

/// Where the document of a protected resource lies; the resource's own path comes behind it (RFC 9728 §3.1).
pub const RESOURCE_METADATA: &str = "/.well-known/oauth-protected-resource";

/// The addresses that lead here, by what a client writes into `Host`.
#[derive(Debug)]
pub struct Bases {
    by_host: HashMap<String, String>,
    usual: String,
}

impl Bases {
    /// `usual` is the public address; a client that came by another one of `own` is told that one, because it compares what it is
    /// told with what it called.
    pub fn new<'a>(usual: &str, own: impl Iterator<Item = &'a String>) -> Self {
        let host = |origin: &'a String| {
            let host = origin.split_once("://")?.1.to_ascii_lowercase();
            Some((host, origin.clone()))
        };
        Self { by_host: own.filter_map(host).collect(), usual: usual.to_owned() }
    }

    /// The address of a request, without a slash at its end.
    pub fn of_host(&self, host: Option<&str>) -> &str {
        let known = host
            .and_then(|host| self.by_host.get(host).or_else(|| self.by_host.get(&host.to_ascii_lowercase())));
        known.unwrap_or(&self.usual)
    }

    /// What comes behind one of the addresses in a URL; `None` when it leads elsewhere.
    pub fn strip<'a>(&self, url: &'a str) -> Option<&'a str> {
        let own = std::iter::once(&self.usual).chain(self.by_host.values());
        own.filter_map(|base| url.strip_prefix(base.as_str()))
            .find(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    pub(crate) fn of(&self, headers: &HeaderMap) -> &str {
        self.of_host(headers.get(header::HOST).and_then(|host| host.to_str().ok()))
    }
}

/// The account and the instance of an MCP address, and whether it is that of HTTP+SSE; `None` when it cannot be one.
pub fn parse_address(path: &str) -> Option<(AccountName, InstanceName, bool)> {
    let (account, instance) = path.strip_prefix(PREFIX)?.split_once('/')?;
    let (instance, is_sse) = instance.strip_suffix(SSE_SUFFIX).map_or((instance, false), |name| (name, true));
    Some((account.parse().ok()?, instance.parse().ok()?, is_sse))
}

/// What is wrong, as an error code and in words; no code when no token was shown (RFC 6750 §3).
fn invalid(error: AuthError) -> Option<&'static str> {
    match error {
        AuthError::Missing | AuthError::Unavailable | AuthError::Agent => None,
        AuthError::Wrong => Some("the token is not known"),
        AuthError::Expired => Some("the token has expired"),
        AuthError::Revoked => Some("the token was revoked"),
        AuthError::Audience => Some("the token is for another address"),
    }
}

/// The value for a refused token, where the resource has no document of its own.
pub fn challenge(error: AuthError) -> HeaderValue {
    written(&with_error(error))
}

fn with_error(error: AuthError) -> String {
    let words = invalid(error)
        .map(|words| format!(r#", error="invalid_token", error_description="{words}""#))
        .unwrap_or_default();
    format!(r#"Bearer realm="berth"{words}"#)
}

/// The value for a token that is refused at an MCP address: where its document lies, and the scope of a call. Said of addresses
/// that lead nowhere too, so that nobody learns which are there.
pub(crate) fn of_address(error: AuthError, base: &str, path: &str) -> HeaderValue {
    let Some((account, instance, is_sse)) = parse_address(path) else { return challenge(error) };
    let suffix = if is_sse { SSE_SUFFIX } else { "" };
    written(&format!(
        r#"{}, resource_metadata="{base}{RESOURCE_METADATA}{PREFIX}{account}/{instance}{suffix}", scope="mcp:call:{instance}""#,
        with_error(error)
    ))
}

/// What the token lacks (RFC 6750 §3.1).
pub(crate) fn step_up(name: &InstanceName, base: &str, path: &str) -> HeaderValue {
    let metadata = parse_address(path)
        .map(|_| format!(r#", resource_metadata="{base}{RESOURCE_METADATA}{path}""#))
        .unwrap_or_default();
    written(&format!(
        r#"Bearer realm="berth", error="insufficient_scope", scope="mcp:call:{name}"{metadata}"#
    ))
}

fn written(text: &str) -> HeaderValue {
    // Names and addresses that were parsed before have no character that a header cannot.
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(r#"Bearer realm="berth""#))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_told_the_address_by_which_it_came() {
        let own = ["https://berth.example", "http://localhost:8420"].map(str::to_owned);
        let bases = Bases::new("https://berth.example", own.iter());
        let check =
            |host: Option<&str>, expected: &str| assert_eq!(bases.of_host(host), expected, "{host:?}");
        check(Some("localhost:8420"), "http://localhost:8420");
        check(Some("Berth.Example"), "https://berth.example");
        check(Some("evil.example"), "https://berth.example");
        check(Some("localhost:8420\", x=\""), "https://berth.example");
        check(None, "https://berth.example");
        assert_eq!(bases.strip("http://localhost:8420/mcp/a/b"), Some("/mcp/a/b"));
        assert_eq!(bases.strip("https://berth.example"), Some(""));
        assert_eq!(bases.strip("https://berth.example.evil.example/mcp/a/b"), None);
        assert_eq!(bases.strip("http://localhost:84201/mcp/a/b"), None);
    }

    #[test]
    fn nothing_of_a_path_that_is_no_address_is_repeated() {
        let check = |path: &str, expected: &str| {
            let value = of_address(AuthError::Missing, "https://b", path);
            assert_eq!(value.to_str().unwrap(), expected, "{path}");
        };
        let plain = r#"Bearer realm="berth""#;
        check(
            "/mcp/default/github",
            r#"Bearer realm="berth", resource_metadata="https://b/.well-known/oauth-protected-resource/mcp/default/github", scope="mcp:call:github""#,
        );
        check(
            "/mcp/default/github/sse",
            r#"Bearer realm="berth", resource_metadata="https://b/.well-known/oauth-protected-resource/mcp/default/github/sse", scope="mcp:call:github""#,
        );
        check("/mcp/default/\"x", plain);
        check("/mcp/default/a/b", plain);
        check("/mcp/default", plain);
        check("/mcp/../x/y", plain);
    }
}
