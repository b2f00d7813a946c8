//! Which headers cross a hop.

use http::HeaderMap;
use http::header::{
    AUTHORIZATION, CONNECTION, COOKIE, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Removes what belongs to one connection only (RFC 9110 §7.6.1), the headers that `Connection` names among them.
pub fn strip(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| HeaderName::from_bytes(name.trim().as_bytes()).ok())
            .collect();
        for name in named {
            headers.remove(name);
        }
        headers.remove(CONNECTION);
    }
    for name in [
        KEEP_ALIVE,
        PROXY_CONNECTION,
        PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
    ] {
        headers.remove(name);
    }
}

/// As [`strip`], and removes what a caller from outside must not hand to a server: credentials, and every header that
/// begins with `own_prefix` (lower-case), which only our own processes may set.
pub fn strip_inbound(headers: &mut HeaderMap, own_prefix: &str) {
    strip(headers);
    headers.remove(AUTHORIZATION);
    headers.remove(COOKIE);
    if headers.keys().any(|name| name.as_str().starts_with(own_prefix)) {
        let own: Vec<HeaderName> =
            headers.keys().filter(|name| name.as_str().starts_with(own_prefix)).cloned().collect();
        for name in own {
            headers.remove(name);
        }
    }
}
