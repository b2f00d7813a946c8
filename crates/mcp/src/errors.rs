//! JSON-RPC error messages, built around an id that is already JSON, and the codes that Berth itself gives.
//!
//! The codes are those of JSON-RPC 2.0 §5.1 and of the MCP specification 2026-07-28. HTTP statuses belong to them only
//! at the front (`crate::front`).

/// The message is not JSON.
pub const PARSE_ERROR: i64 = -32700;
/// The message is JSON, but no message.
pub const INVALID_REQUEST: i64 = -32600;
/// Nobody here knows the method.
pub const METHOD_NOT_FOUND: i64 = -32601;
/// The parameters do not fit the method; also a modern request without its required `_meta`.
pub const INVALID_PARAMS: i64 = -32602;
/// The server failed, such as by ending in mid-call.
pub const INTERNAL_ERROR: i64 = -32603;
/// For what only HTTP has a word for: a wrong session, a wrong `Accept`, too many calls. The code says nothing more
/// (2026-07-28 takes all meaning from -32000 to -32019).
pub const TRANSPORT: i64 = -32000;
/// A header says something else than the body (2026-07-28).
pub const HEADER_MISMATCH: i64 = -32020;
/// The server needs what the client has not declared (2026-07-28); `data` is `{"requiredCapabilities":{…}}`.
pub const MISSING_REQUIRED_CLIENT_CAPABILITY: i64 = -32021;
/// The revision asked for is not served here (2026-07-28); `data` is `{"supported":[…],"requested":"…"}`.
pub const UNSUPPORTED_PROTOCOL_VERSION: i64 = -32022;

/// One JSON-RPC error message. `raw_id` is the request's id as it was written, quotes included; absent becomes `null`
/// (JSON-RPC 2.0 §5). `data` is JSON.
pub fn body(raw_id: Option<&str>, code: i64, message: &str, data: Option<&str>) -> Vec<u8> {
    let data_len = data.map_or(0, |data| data.len() + 8);
    let mut out = Vec::with_capacity(80 + message.len() + data_len);
    out.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    out.extend_from_slice(raw_id.unwrap_or("null").as_bytes());
    out.extend_from_slice(br#","error":{"code":"#);
    out.extend_from_slice(code.to_string().as_bytes());
    out.extend_from_slice(br#","message":"#);
    out.extend_from_slice(quote(message).as_bytes());
    if let Some(data) = data {
        out.extend_from_slice(br#","data":"#);
        out.extend_from_slice(data.as_bytes());
    }
    out.extend_from_slice(b"}}");
    out
}

/// A text as a JSON string.
pub fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_json_and_keep_the_id_as_written() {
        let with_data = body(Some("1.0e2"), HEADER_MISMATCH, "a \"b\"\n", Some(r#"{"x":[1]}"#));
        assert_eq!(
            String::from_utf8(with_data).unwrap(),
            r#"{"jsonrpc":"2.0","id":1.0e2,"error":{"code":-32020,"message":"a \"b\"\n","data":{"x":[1]}}}"#
        );
        let plain = body(None, PARSE_ERROR, "no", None);
        assert_eq!(
            String::from_utf8(plain).unwrap(),
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"no"}}"#
        );
    }
}
