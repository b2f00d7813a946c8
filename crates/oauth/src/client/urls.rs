//! The few things that are done with URLs here.

use form_urlencoded::Serializer;
use http::Uri;

/// The scheme, host and port of an HTTP URL, as they are written, and its path without a slash at the end.
pub(super) fn split(url: &str) -> Option<(String, String)> {
    let uri: Uri = url.parse().ok()?;
    let (scheme, authority) = (uri.scheme_str()?, uri.authority()?);
    if !matches!(scheme, "http" | "https") || authority.as_str().contains('@') || url.contains('#') {
        return None;
    }
    Some((format!("{scheme}://{authority}"), uri.path().trim_end_matches('/').to_owned()))
}

/// Whether people and requests may be sent there.
pub(super) fn is_http(url: &str) -> bool {
    split(url).is_some()
}

/// A URL with further parameters behind those that it has.
pub(super) fn with_query(url: &str, parameters: &[(&str, &str)]) -> String {
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}{}", form(parameters))
}

/// Parameters as a form is written.
pub(super) fn form(parameters: &[(&str, &str)]) -> String {
    let mut out = Serializer::new(String::new());
    for (name, value) in parameters {
        out.append_pair(name, value);
    }
    out.finish()
}

/// One value as in a form.
pub(super) fn form_value(value: &str) -> String {
    form_urlencoded::byte_serialize(value.as_bytes()).collect()
}
