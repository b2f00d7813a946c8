//! Canonical identifiers of protected resources (RFC 8707 §2; MCP, Authorization: "Canonical Server URI").

use http::Uri;

/// The canonical form: scheme and host in small letters, no port where it is the scheme's own, no slash at the end.
/// `None` for what is no absolute HTTP URL, or has a user, a query or a fragment.
pub fn canonical(text: &str) -> Option<String> {
    if text.contains('#') || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let uri: Uri = text.parse().ok()?;
    let (scheme, authority) = (uri.scheme_str()?.to_ascii_lowercase(), uri.authority()?);
    let own = match scheme.as_str() {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    if authority.as_str().contains('@') || uri.query().is_some() {
        return None;
    }
    let port =
        authority.port_u16().filter(|port| *port != own).map(|port| format!(":{port}")).unwrap_or_default();
    let path = uri.path().trim_end_matches('/');
    Some(format!("{scheme}://{}{port}{path}", authority.host().to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let check =
            |text: &str, expected: Option<&str>| assert_eq!(canonical(text).as_deref(), expected, "{text}");
        check("https://Berth.Example/mcp/a/b", Some("https://berth.example/mcp/a/b"));
        check("HTTPS://berth.example:443/mcp/a/b/", Some("https://berth.example/mcp/a/b"));
        check("http://127.0.0.1:8420", Some("http://127.0.0.1:8420"));
        check("https://berth.example/MCP/a", Some("https://berth.example/MCP/a"));
        check("https://berth.example/a?x", None);
        check("https://berth.example/a#x", None);
        check("https://me@berth.example/a", None);
        check("ftp://berth.example/a", None);
        check("/mcp/a/b", None);
        check("", None);
    }
}
