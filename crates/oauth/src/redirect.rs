//! Where a person may be sent back to (OAuth 2.1 §2.3, RFC 8252 §7).

use http::Uri;

/// Schemes that are programs' own, but run or read something in a browser or file system when they are opened.
const DANGEROUS: [&str; 16] = [
    "about",
    "blob",
    "chrome",
    "content",
    "data",
    "file",
    "filesystem",
    "ftp",
    "intent",
    "jar",
    "javascript",
    "mailto",
    "resource",
    "vbscript",
    "view-source",
    "ws",
];

/// The longest one, in bytes.
const MAX: usize = 2048;

/// Why a redirect URI is not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RedirectError {
    /// It is no absolute URI.
    #[error(
        "a redirect URI is absolute, with a scheme and a host or a path, of at most 2048 printable characters"
    )]
    Shape,
    /// It has a part behind `#`.
    #[error("a redirect URI has no fragment")]
    Fragment,
    /// It has a user or password.
    #[error("a redirect URI has no user and no password")]
    User,
    /// It is plain HTTP to elsewhere.
    #[error("a redirect URI is https, or http on `127.0.0.1`, `[::1]` or `localhost`")]
    Plain,
    /// Its scheme is not a program's own.
    #[error("redirect URIs of this scheme are not allowed")]
    Scheme,
}

/// What kind of place a redirect URI leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A site, over HTTPS.
    Web,
    /// A program on the person's own machine.
    Loopback,
    /// A program by a scheme of its own, such as `cursor:`.
    Program,
}

/// Judges one redirect URI of a client.
///
/// # Errors
/// Why it is not allowed.
pub fn judge(text: &str) -> Result<Kind, RedirectError> {
    if text.is_empty()
        || MAX < text.len()
        || !text.bytes().all(|byte| byte.is_ascii_graphic())
        || text.contains('\\')
    {
        return Err(RedirectError::Shape);
    }
    if text.contains('#') {
        return Err(RedirectError::Fragment);
    }
    let (scheme, rest) = text.split_once(':').ok_or(RedirectError::Shape)?;
    let is_scheme = scheme.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    if !is_scheme || rest.is_empty() {
        return Err(RedirectError::Shape);
    }
    let scheme = scheme.to_ascii_lowercase();
    if scheme != "https" && scheme != "http" {
        let dangerous =
            DANGEROUS.contains(&scheme.as_str()) || scheme.starts_with("view-") || scheme == "wss";
        return if dangerous { Err(RedirectError::Scheme) } else { Ok(Kind::Program) };
    }
    let uri: Uri = text.parse().map_err(|_| RedirectError::Shape)?;
    let authority = uri.authority().ok_or(RedirectError::Shape)?;
    if authority.as_str().contains('@') {
        return Err(RedirectError::User);
    }
    if scheme == "https" {
        return Ok(Kind::Web);
    }
    if is_loopback(authority.host()) { Ok(Kind::Loopback) } else { Err(RedirectError::Plain) }
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || matches!(host, "127.0.0.1" | "[::1]")
}

/// Whether a client that registered `registered` may ask for `asked`: the very same text, but for the port of a loopback
/// address, which a program on a person's machine cannot know in advance (RFC 8252 §7.3).
pub fn matches(registered: &str, asked: &str) -> bool {
    if registered == asked {
        return true;
    }
    if judge(registered) != Ok(Kind::Loopback) || judge(asked) != Ok(Kind::Loopback) {
        return false;
    }
    let (Ok(one), Ok(other)) = (registered.parse::<Uri>(), asked.parse::<Uri>()) else { return false };
    one.scheme() == other.scheme()
        && one.host() == other.host()
        && one.path_and_query() == other.path_and_query()
}

/// What is shown of it to a person: the host, or the scheme of a program.
pub fn shown(text: &str) -> String {
    let host = text.parse::<Uri>().ok().and_then(|uri| {
        let scheme = uri.scheme_str()?;
        let authority = uri.authority()?;
        (scheme == "https" || scheme == "http").then(|| authority.as_str().to_owned())
    });
    host.unwrap_or_else(|| text.split_once(':').map_or(text, |(scheme, _)| scheme).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds() {
        let check = |text: &str, expected: Result<Kind, RedirectError>| {
            assert_eq!(judge(text), expected, "{text}");
        };
        check("https://app.example.com/callback", Ok(Kind::Web));
        check("http://127.0.0.1:3000/callback", Ok(Kind::Loopback));
        check("http://localhost/callback", Ok(Kind::Loopback));
        check("http://[::1]:1/", Ok(Kind::Loopback));
        check("cursor://anysphere.cursor-retrieval/oauth/callback", Ok(Kind::Program));
        check("com.example.app:/oauth", Ok(Kind::Program));
        check("http://example.com/callback", Err(RedirectError::Plain));
        check("http://127.0.0.1.example.com/", Err(RedirectError::Plain));
        check("http://localhost.example.com/", Err(RedirectError::Plain));
        check("http://127.0.0.1@evil.example/", Err(RedirectError::User));
        check("https://user@app.example.com/", Err(RedirectError::User));
        check("https://app.example.com/#x", Err(RedirectError::Fragment));
        check("https://app.example.com\\@evil.example/", Err(RedirectError::Shape));
        check("javascript:alert(1)", Err(RedirectError::Scheme));
        check("JavaScript:alert(1)", Err(RedirectError::Scheme));
        check("data:text/html,x", Err(RedirectError::Scheme));
        check("//evil.example/", Err(RedirectError::Shape));
        check("/callback", Err(RedirectError::Shape));
        check("https:", Err(RedirectError::Shape));
        check("https://a b/", Err(RedirectError::Shape));
        check("", Err(RedirectError::Shape));
    }

    #[test]
    fn what_matches() {
        let check = |registered: &str, asked: &str, expected: bool| {
            assert_eq!(matches(registered, asked), expected, "{registered} {asked}");
        };
        check("https://a.example/cb", "https://a.example/cb", true);
        check("https://a.example/cb", "https://a.example/cb/", false);
        check("https://a.example/cb", "https://a.example/cb?x=1", false);
        check("https://a.example/cb", "https://a.example:8443/cb", false);
        check("https://a.example/cb", "https://a.example/cb/../x", false);
        check("https://a.example/cb", "https://A.example/cb", false);
        check("http://127.0.0.1/cb", "http://127.0.0.1:4711/cb", true);
        check("http://127.0.0.1:1/cb", "http://127.0.0.1:4711/cb", true);
        check("http://127.0.0.1/cb", "http://localhost:4711/cb", false);
        check("http://127.0.0.1/cb", "http://127.0.0.1:4711/other", false);
        check("http://127.0.0.1/cb", "https://127.0.0.1:4711/cb", false);
        check("cursor://x/cb", "cursor://y/cb", false);
    }

    #[test]
    fn what_people_see() {
        assert_eq!(shown("https://a.example/cb"), "a.example");
        assert_eq!(shown("http://127.0.0.1:3000/cb"), "127.0.0.1:3000");
        assert_eq!(shown("cursor://anysphere/cb"), "cursor");
    }
}
