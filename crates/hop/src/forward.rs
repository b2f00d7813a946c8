//! Which headers cross a hop, and how a body does.

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{
    AUTHORIZATION, CONNECTION, COOKIE, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http_body::Body;
use http_body_util::{BodyExt as _, Either, Full};

/// A body of at most so many bytes is small.
const SMALL: u64 = 64 << 10;

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

/// Reads a body that is small and says so to its end; any other is given back, to be passed on as it comes.
///
/// What is passed on as it comes leaves in two writes, its head and its body, and wakes the next party twice, which costs
/// more than all that is done for a small message. A body that does not announce its length, such as an event stream,
/// is never waited for.
///
/// # Errors
/// The body broke off.
pub async fn whole_if_small<B>(mut body: B) -> Result<Either<Full<Bytes>, B>, B::Error>
where
    B: Body<Data = Bytes> + Unpin,
{
    if body.size_hint().exact().is_none_or(|len| SMALL < len) {
        return Ok(Either::Right(body));
    }
    let mut whole = Bytes::new();
    while !body.is_end_stream()
        && let Some(frame) = body.frame().await
    {
        let Ok(data) = frame?.into_data() else { continue };
        // Most come in one piece and stay where they were read.
        if whole.is_empty() {
            whole = data;
        } else {
            let mut both = BytesMut::from(whole);
            both.extend_from_slice(&data);
            whole = both.freeze();
        }
    }
    Ok(Either::Left(Full::new(whole)))
}
