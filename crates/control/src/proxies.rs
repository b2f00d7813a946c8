//! Proxies in front of the control plane: whose word counts for who calls, and how. Everybody can send the headers, so they are read
//! of peers alone that were named as proxies.

use std::net::IpAddr;

use http::HeaderMap;
use http::header::{FORWARDED, HOST, HeaderName};
use ipnet::IpNet;

const X_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// The networks of proxies whose headers count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies(pub Vec<IpNet>);

/// A request as its caller sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Who called: the peer or, behind proxies, whom the first of them saw.
    pub(crate) address: IpAddr,
    /// Whether it came over TLS to here or to the first proxy. A proxy that does not say so did not.
    pub(crate) is_secure: bool,
    /// The host that was asked for, with its port.
    pub(crate) host: Option<String>,
    /// Whether a proxy whose word counts passed it on.
    pub(crate) through_proxy: bool,
    /// Whether that proxy said which scheme it was asked by.
    pub(crate) names_scheme: bool,
}

/// What one proxy says of the request that it took.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Element {
    from: Option<String>,
    proto: Option<String>,
    host: Option<String>,
}

impl Proxies {
    /// Whether a peer's headers count.
    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Who sent a request to `peer`'s connection, and how: `is_tls` says of the connection itself.
    ///
    /// `Forwarded` (RFC 7239) goes before the older `X-Forwarded-*`. Each proxy adds to the end, so what is said is read from there, and no
    /// further than up to the first address that is no proxy of ours: what stands before that was written by the caller.
    pub(crate) fn seen(&self, peer: IpAddr, is_tls: bool, headers: &HeaderMap) -> Seen {
        let peer = peer.to_canonical();
        let own_host = headers.get(HOST).and_then(|host| host.to_str().ok()).map(str::to_owned);
        let mut seen = Seen {
            address: peer,
            is_secure: is_tls,
            host: own_host,
            through_proxy: self.trusts(peer),
            names_scheme: false,
        };
        if !seen.through_proxy {
            return seen;
        }
        let said = if headers.contains_key(FORWARDED) { forwarded(headers) } else { x_forwarded(headers) };
        seen.is_secure = is_tls && said.is_empty();
        for element in said.iter().rev() {
            if let Some(proto) = &element.proto {
                seen.is_secure = proto.eq_ignore_ascii_case("https");
                seen.names_scheme = true;
            }
            if let Some(host) = element.host.as_ref().filter(|host| is_host(host)) {
                seen.host = Some(host.clone());
            }
            // One that hides its caller, or says nothing that is an address, is as far as it goes.
            let Some(address) = element.from.as_deref().and_then(address) else { break };
            seen.address = address;
            if !self.trusts(address) {
                break;
            }
        }
        seen
    }
}

/// The elements of all `Forwarded` lines, in their order; none when any of it is malformed.
fn forwarded(headers: &HeaderMap) -> Vec<Element> {
    let mut all = Vec::new();
    for line in headers.get_all(FORWARDED) {
        let Some(elements) = line.to_str().ok().and_then(parse) else { return Vec::new() };
        all.extend(elements);
    }
    all
}

/// RFC 7239 §4: `for=…;proto=…, for="[…]:1"`.
fn parse(line: &str) -> Option<Vec<Element>> {
    let mut elements = vec![Element::default()];
    let mut rest = line.trim();
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=')?;
        let (value, after) = if let Some(quoted) = after.strip_prefix('"') {
            unquote(quoted)?
        } else {
            let end = after.find([',', ';', ' ', '\t']).unwrap_or(after.len());
            (after.get(..end)?.to_owned(), after.get(end..)?)
        };
        let element = elements.last_mut()?;
        let slot = match name.trim().to_ascii_lowercase().as_str() {
            "for" => Some(&mut element.from),
            "proto" => Some(&mut element.proto),
            "host" => Some(&mut element.host),
            _ => None,
        };
        if let Some(slot) = slot
            && slot.replace(value).is_some()
        {
            return None;
        }
        let after = after.trim_start();
        rest = match after.chars().next() {
            None => after,
            Some(';') => after.get(1..)?.trim_start(),
            Some(',') => {
                elements.push(Element::default());
                after.get(1..)?.trim_start()
            }
            Some(_) => return None,
        };
    }
    Some(elements)
}

/// A quoted string whose first quote is gone, and what comes after its last.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => value.push(characters.next()?.1),
            _ => value.push(character),
        }
    }
    None
}

/// The older headers. They are lists of their own: a scheme or a host is that of an address only where there are as many of both, and
/// otherwise the last proxy's.
fn x_forwarded(headers: &HeaderMap) -> Vec<Element> {
    let list = |name: &HeaderName| -> Vec<String> {
        let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
        lines.flat_map(|line| line.split(',')).map(|part| part.trim().to_owned()).collect()
    };
    let (from, proto, host) = (list(&X_FOR), list(&X_PROTO), list(&X_HOST));
    let length = from.len().max(usize::from(!proto.is_empty() || !host.is_empty()));
    let of = |list: &[String], at: usize| {
        if list.len() == length {
            list.get(at).cloned()
        } else {
            list.last().filter(|_| at + 1 == length).cloned()
        }
    };
    (0..length)
        .map(|at| Element { from: from.get(at).cloned(), proto: of(&proto, at), host: of(&host, at) })
        .collect()
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`; nothing that is hidden (`unknown`, `_name`).
fn address(text: &str) -> Option<IpAddr> {
    let bare = match text.strip_prefix('[') {
        Some(inner) => inner.split_once(']')?.0,
        None if text.matches(':').count() == 1 => text.split_once(':')?.0,
        None => text,
    };
    bare.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

fn is_host(text: &str) -> bool {
    !text.is_empty() && text.parse::<http::uri::Authority>().is_ok_and(|host| !host.as_str().contains('@'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Peer, whether it spoke TLS, headers; who called, whether securely, the host that was asked for.
    #[track_caller]
    fn check(peer: &str, is_tls: bool, sent: &[(&'static str, &str)], expected: (&str, bool, &str)) {
        let proxies = Proxies(["10.0.0.0/8", "2001:db8:1::/48"].map(|text| text.parse().unwrap()).to_vec());
        let mut headers = HeaderMap::new();
        headers.insert(HOST, "own".parse().unwrap());
        for (name, value) in sent {
            headers.append(*name, value.parse().unwrap());
        }
        let seen = proxies.seen(peer.parse().unwrap(), is_tls, &headers);
        let host = seen.host.unwrap_or_default();
        assert_eq!((&*seen.address.to_string(), seen.is_secure, &*host), expected, "{peer} {sent:?}");
    }

    #[test]
    fn only_proxies_are_believed() {
        let spoofed = [
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "evil.example"),
            ("forwarded", "for=1.1.1.1;proto=https;host=evil.example"),
        ];
        check("192.0.2.1", false, &spoofed, ("192.0.2.1", false, "own"));
        check("192.0.2.1", true, &spoofed, ("192.0.2.1", true, "own"));
        check("127.0.0.1", false, &spoofed, ("127.0.0.1", false, "own"));
        check("11.0.0.1", false, &spoofed, ("11.0.0.1", false, "own"));
        check("10.0.0.1", false, &spoofed, ("1.1.1.1", true, "evil.example"));
        check("::ffff:10.0.0.1", false, &spoofed, ("1.1.1.1", true, "evil.example"));
        check("2001:db8:1::9", false, &spoofed, ("1.1.1.1", true, "evil.example"));
    }

    #[test]
    fn older_headers() {
        let check = |sent: &[(&'static str, &str)], expected| check("10.0.0.1", false, sent, expected);
        check(&[], ("10.0.0.1", false, "own"));
        check(&[("x-forwarded-proto", "https")], ("10.0.0.1", true, "own"));
        check(&[("x-forwarded-proto", "HTTPS")], ("10.0.0.1", true, "own"));
        check(&[("x-forwarded-for", "192.0.2.7")], ("192.0.2.7", false, "own"));
        // What the caller sent itself stands before what the proxy added.
        check(&[("x-forwarded-for", "1.1.1.1, 192.0.2.7")], ("192.0.2.7", false, "own"));
        check(
            &[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "192.0.2.7")],
            ("192.0.2.7", false, "own"),
        );
        check(&[("x-forwarded-for", "192.0.2.7, 10.0.0.2")], ("192.0.2.7", false, "own"));
        check(
            &[("x-forwarded-for", "1.1.1.1, 192.0.2.7"), ("x-forwarded-proto", "https, http")],
            ("192.0.2.7", false, "own"),
        );
        check(
            &[("x-forwarded-for", "1.1.1.1, 192.0.2.7"), ("x-forwarded-proto", "http")],
            ("192.0.2.7", false, "own"),
        );
        check(
            &[("x-forwarded-for", "192.0.2.7, 10.0.0.2"), ("x-forwarded-proto", "https, http")],
            ("192.0.2.7", true, "own"),
        );
        check(&[("x-forwarded-for", "unknown")], ("10.0.0.1", false, "own"));
        check(&[("x-forwarded-for", "192.0.2.7:4711")], ("192.0.2.7", false, "own"));
        check(&[("x-forwarded-host", "a b")], ("10.0.0.1", false, "own"));
        check(&[("x-forwarded-host", "me@evil")], ("10.0.0.1", false, "own"));
        check(
            &[("x-forwarded-host", "berth.example.com:8443")],
            ("10.0.0.1", false, "berth.example.com:8443"),
        );
    }

    #[test]
    fn the_standard_header() {
        let check = |line: &str, expected| check("10.0.0.1", false, &[("forwarded", line)], expected);
        check("for=192.0.2.7;proto=https;host=b.example", ("192.0.2.7", true, "b.example"));
        check("For=192.0.2.7; Proto=https", ("192.0.2.7", true, "own"));
        check(r#"for="[2001:db8::7]:4711";proto=https"#, ("2001:db8::7", true, "own"));
        check(r#"for="192.0.2.7:80";by=x"#, ("192.0.2.7", false, "own"));
        check("for=1.1.1.1;proto=https, for=192.0.2.7;proto=http", ("192.0.2.7", false, "own"));
        check("for=192.0.2.7;proto=https, for=10.0.0.2;proto=http", ("192.0.2.7", true, "own"));
        check("for=_hidden;proto=https", ("10.0.0.1", true, "own"));
        check("for=unknown", ("10.0.0.1", false, "own"));
        // A comma within quotes ends no element.
        check(r#"for="1.1.1.1, for=192.0.2.9""#, ("10.0.0.1", false, "own"));
        for malformed in ["for", r#"for="192.0.2.7"#, "for=1.1.1.1;for=2.2.2.2", "for=1.1.1.1 x", "=;,"] {
            check(malformed, ("10.0.0.1", false, "own"));
        }
    }

    #[test]
    fn over_tls_between_proxy_and_here() {
        check("10.0.0.1", true, &[], ("10.0.0.1", true, "own"));
        check("10.0.0.1", true, &[("x-forwarded-proto", "http")], ("10.0.0.1", false, "own"));
        check("10.0.0.1", true, &[("x-forwarded-for", "192.0.2.7")], ("192.0.2.7", false, "own"));
    }
}
