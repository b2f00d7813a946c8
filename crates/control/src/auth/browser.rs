//! Browsers: a session is a cookie of 32 random bytes, of which the tables have the SHA-256. It opens pages, and nothing of the API or the
//! MCP addresses: those take a Bearer token alone, which no page of others can make a browser send.

use std::net::IpAddr;

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::ids::{SessionId, UserId};
use domain::secret::{self, Secret};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::auth::attempts::Attempts;
use crate::auth::passwords::Passwords;
use crate::proxies::Seen;
use crate::public::Public;
use crate::secrets::{SecretsError, random};

/// The cookie over TLS. The prefix makes browsers take it from this very host over TLS alone, so nobody beside or before it can plant one
/// (RFC 6265bis §4.1.3.2).
const SECURE: &str = "__Host-berth_session";
/// The cookie over plain HTTP.
const PLAIN: &str = "berth_session";
/// The cookie of a browser that is away at an identity provider, over TLS.
const SECURE_AWAY: &str = "__Host-berth_away";
/// The same over plain HTTP.
const PLAIN_AWAY: &str = "berth_away";
/// How long a cookie is kept by a browser, in seconds: as long as any session lasts.
const MAX_AGE: i64 = 30 * 24 * 3600;
/// The characters of 32 bytes in base64url.
const LENGTH: usize = 43;
/// The longest path that one is sent on to, in bytes.
const LONGEST_NEXT: usize = 4096;
/// What is kept of what a browser calls itself, in characters.
const AGENT: usize = 200;

/// What signing in needs beside the tables. One per process.
#[derive(Debug)]
pub(crate) struct Browsers {
    pub(crate) passwords: Passwords,
    pub(crate) attempts: Attempts,
    /// The origins whose pages are ours, as browsers write them.
    origins: Vec<String>,
    /// The host and port of the public address, when that has TLS.
    secure_host: Option<String>,
}

/// Who is signed in with a browser.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    /// Whose session it is.
    pub(crate) user: UserId,
    /// Their name.
    pub(crate) user_name: String,
    /// The session.
    pub(crate) session: SessionId,
    /// What each form of this page must carry in a hidden field `csrf`; see [`masked`].
    pub(crate) csrf: String,
}

/// Where a request comes from, as far as a session remembers it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Visit {
    /// Who called.
    pub(crate) address: Option<IpAddr>,
    /// What the browser calls itself.
    pub(crate) user_agent: Option<String>,
    /// Whether the browser speaks TLS, with us or with a proxy of ours.
    pub(crate) is_secure: bool,
    /// The session's cookie, when it has one.
    pub(crate) cookie: Option<Secret>,
    /// What it was sent to an identity provider with.
    pub(crate) away: Option<Secret>,
}

impl Browsers {
    /// For pages of these origins.
    pub(crate) fn new(public: &Public, origins: Vec<String>) -> Self {
        Self {
            passwords: Passwords::default(),
            attempts: Attempts::default(),
            origins,
            secure_host: public.url.strip_prefix("https://").map(str::to_owned),
        }
    }

    /// What a request says of its browser.
    pub(crate) fn visit(&self, parts: &Parts) -> Visit {
        let seen = parts.extensions.get::<Seen>();
        let host = seen.and_then(|seen| seen.host.as_deref());
        // A proxy that ends TLS and was not named is known by the host that was asked for.
        let is_secure = seen.is_some_and(|seen| seen.is_secure)
            || host.is_some_and(|host| self.secure_host.as_deref() == Some(&*host.to_ascii_lowercase()));
        let agent = parts.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
        Visit {
            address: seen.map(|seen| seen.address),
            user_agent: agent.map(|agent| agent.chars().take(AGENT).collect()),
            is_secure,
            cookie: cookie(&parts.headers, if is_secure { SECURE } else { PLAIN }),
            away: one(&parts.headers, if is_secure { SECURE_AWAY } else { PLAIN_AWAY }).map(Secret::new),
        }
    }

    /// Whether a request that changes something was sent by a page of ours. Browsers say where a form is from; what says nothing is none.
    pub(crate) fn is_own_page(&self, headers: &HeaderMap) -> bool {
        let one = |name: &str| {
            let mut values = headers.get_all(name).iter();
            let first = values.next()?.to_str().ok();
            Some(first.filter(|_| values.next().is_none()).unwrap_or("?").to_owned())
        };
        let site = one("sec-fetch-site");
        if site.as_deref().is_some_and(|site| site != "same-origin") {
            return false;
        }
        match one("origin") {
            Some(origin) => self.origins.contains(&origin),
            None => site.is_some(),
        }
    }
}

impl Visit {
    /// The header that gives a browser its session.
    pub(crate) fn set_cookie(&self, token: &Secret) -> HeaderValue {
        self.header((SECURE, PLAIN), token.expose(), MAX_AGE)
    }

    /// The header that takes a browser's session away.
    pub(crate) fn clear_cookie(&self) -> HeaderValue {
        self.header((SECURE, PLAIN), "", 0)
    }

    /// The header that a browser is sent to an identity provider with.
    pub(crate) fn set_away(&self, away: &Secret) -> HeaderValue {
        let age = i64::try_from(crate::app::oidc::AWAY.as_secs()).unwrap_or_default();
        self.header((SECURE_AWAY, PLAIN_AWAY), away.expose(), age)
    }

    /// The header that ends that.
    pub(crate) fn clear_away(&self) -> HeaderValue {
        self.header((SECURE_AWAY, PLAIN_AWAY), "", 0)
    }

    fn header(&self, names: (&str, &str), value: &str, age: i64) -> HeaderValue {
        let (name, secure) = if self.is_secure { (names.0, "; Secure") } else { (names.1, "") };
        let text = format!("{name}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax{secure}");
        // A value is of base64's characters or empty, so this is always a header.
        let mut header = HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""));
        header.set_sensitive(true);
        header
    }
}

/// A new session's cookie.
///
/// # Errors
/// [`SecretsError::Random`].
pub(crate) fn generate() -> Result<Secret, SecretsError> {
    Ok(Secret::new(URL_SAFE_NO_PAD.encode(random::<32>()?)))
}

/// What each form of a session must carry: only who has the cookie can compute it, and it does not tell the cookie.
pub(crate) fn csrf_of(cookie: &Secret) -> String {
    // HMAC takes keys of any length (RFC 2104 §2), so this cannot fail; an empty text is no form's.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(cookie.expose().as_bytes()) else {
        return String::new();
    };
    mac.update(b"berth form 1");
    URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
}

/// [`csrf_of`] as one page shows it: another text each time. Pages are compressed, and what is the same in each of them could be guessed from
/// their lengths by who sees those and has a page repeat texts of theirs (BREACH).
///
/// # Errors
/// [`SecretsError::Random`].
pub(crate) fn masked(csrf: &str) -> Result<String, SecretsError> {
    let mask = random::<32>()?;
    let mut shown = mask.to_vec();
    shown.extend(
        URL_SAFE_NO_PAD.decode(csrf).unwrap_or_default().iter().zip(mask).map(|(byte, mask)| byte ^ mask),
    );
    Ok(URL_SAFE_NO_PAD.encode(shown))
}

/// Whether a form carries its session's text, as any page of the session showed it; in constant time.
pub(crate) fn is_csrf(cookie: &Secret, given: &str) -> bool {
    let (Ok(own), Ok(given)) = (URL_SAFE_NO_PAD.decode(csrf_of(cookie)), URL_SAFE_NO_PAD.decode(given))
    else {
        return false;
    };
    let Some((mask, shown)) = given
        .split_at_checked(own.len())
        .filter(|(mask, shown)| !own.is_empty() && mask.len() == shown.len())
    else {
        return false;
    };
    let unmasked: Vec<u8> = shown.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect();
    secret::same(&own, &unmasked)
}

/// A path of ours that one may be sent on to: it begins with exactly one slash, and nothing in it makes a browser read another host.
pub(crate) fn local_path(text: &str) -> Option<&str> {
    let rest = text.strip_prefix('/')?;
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    (is_plain && !rest.starts_with('/') && text.len() <= LONGEST_NEXT).then_some(text)
}

/// The one cookie of a name that is of a session's shape.
fn cookie(headers: &HeaderMap, name: &str) -> Option<Secret> {
    let is_ours = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    one(headers, name).filter(|value| value.len() == LENGTH && value.bytes().all(is_ours)).map(Secret::new)
}

/// The one cookie of a name. Two of one name are none: somebody planted one of them.
fn one<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut values = pairs.filter(|(of, _)| *of == name).map(|(_, value)| value);
    values.next().filter(|_| values.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_sent_on_to_paths_of_ours_alone() {
        let check = |text: &str, ok: bool| assert_eq!(local_path(text).is_some(), ok, "{text:?}");
        check("/", true);
        check("/you", true);
        check("/oauth/authorize?client_id=https://x.example/y&redirect_uri=http%3A%2F%2F127.0.0.1", true);
        check("/a//b", true);
        check("/%2f/evil.example", true);
        check("/@evil.example", true);
        for evil in [
            "",
            "you",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\/evil.example",
            "/a\\b",
            "https://evil.example",
            "https:evil.example",
            "javascript:alert(1)",
            " //evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "/a\r\nSet-Cookie: x=y",
            "/\0",
            "/ä",
            "/a b",
            "?next=/",
            "#",
        ] {
            check(evil, false);
        }
        check(&format!("/{}", "a".repeat(LONGEST_NEXT)), false);
    }

    #[test]
    fn cookies() {
        let token = "A".repeat(LENGTH);
        let check = |lines: &[&str], found: bool| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::COOKIE, HeaderValue::try_from(*line).unwrap());
            }
            assert_eq!(cookie(&headers, PLAIN).is_some(), found, "{lines:?}");
        };
        let own = format!("{PLAIN}={token}");
        check(&[&own], true);
        check(&[&format!("a=b; {own}; c=d")], true);
        check(&["a=b", &own], true);
        check(&[&own, &own], false);
        check(&[&format!("{own}; {PLAIN}={}", "B".repeat(LENGTH))], false);
        check(&[&format!("{PLAIN}={token}A")], false);
        check(&[&format!("{PLAIN}={}", "/".repeat(LENGTH))], false);
        check(&[&format!("{SECURE}={token}")], false);
        check(&[&format!("x{own}")], false);
        check(&[], false);
    }

    fn browsers() -> Browsers {
        let public = Public::new("https://berth.example.com", None).unwrap();
        Browsers::new(
            &public,
            vec!["https://berth.example.com".to_owned(), "http://127.0.0.1:8420".to_owned()],
        )
    }

    #[test]
    fn forms_of_our_own_pages() {
        let check = |sent: &[(&'static str, &str)], ok: bool| {
            let mut headers = HeaderMap::new();
            for (name, value) in sent {
                headers.append(*name, value.parse().unwrap());
            }
            assert_eq!(browsers().is_own_page(&headers), ok, "{sent:?}");
        };
        check(&[("origin", "https://berth.example.com")], true);
        check(&[("origin", "http://127.0.0.1:8420")], true);
        check(&[("origin", "https://berth.example.com"), ("sec-fetch-site", "same-origin")], true);
        check(&[("sec-fetch-site", "same-origin")], true);
        check(&[], false);
        check(&[("origin", "null")], false);
        check(&[("origin", "null"), ("sec-fetch-site", "same-origin")], false);
        check(&[("origin", "https://evil.example")], false);
        check(&[("origin", "https://berth.example.com.evil.example")], false);
        check(&[("origin", "http://berth.example.com")], false);
        check(&[("origin", "https://berth.example.com:8443")], false);
        check(&[("origin", "https://berth.example.com"), ("sec-fetch-site", "cross-site")], false);
        check(&[("origin", "https://berth.example.com"), ("sec-fetch-site", "same-site")], false);
        check(&[("origin", "https://berth.example.com"), ("sec-fetch-site", "none")], false);
        check(&[("origin", "https://evil.example"), ("origin", "https://berth.example.com")], false);
        check(&[("origin", "https://berth.example.com"), ("origin", "https://evil.example")], false);
    }

    #[test]
    fn a_form_is_of_its_session() {
        let (one, two) = (generate().unwrap(), generate().unwrap());
        assert_ne!(csrf_of(&one), csrf_of(&two));
        let shown = || masked(&csrf_of(&one)).unwrap();
        assert_ne!(shown(), shown(), "no two pages show the same");
        assert!(is_csrf(&one, &shown()) && is_csrf(&one, &shown()));
        let of_other = masked(&csrf_of(&two)).unwrap();
        for given in [
            "",
            "A",
            &of_other,
            &csrf_of(&one),
            one.expose(),
            &shown()[1..],
            &shown()[..43],
            &format!("{}AAAA", shown()),
        ] {
            assert!(!is_csrf(&one, given), "{given}");
        }
    }
}
