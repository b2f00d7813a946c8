//! The front's rules as a table: message and headers in, era or refusal out.

use super::*;
use crate::envelope::scan;

const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;

fn fields<'a>(version: &'a str, method: &'a str, name: &'a str) -> Fields<'a> {
    let field = |text: &'a str| match text {
        "" => Field::Absent,
        "AMBIGUOUS" => Field::Ambiguous,
        text => Field::One(text),
    };
    Fields { version: field(version), method: field(method), name: field(name) }
}

/// `expected`: `Ok(era)` or `Err((status, code))`.
#[track_caller]
fn check(message: &str, headers: (&str, &str, &str), expected: Result<Era, (u16, i64)>) {
    let message = message.replace("META", META);
    let envelope = scan(message.as_bytes()).unwrap();
    let got = dispatch(&envelope, &fields(headers.0, headers.1, headers.2));
    assert_eq!(got.map_err(|refusal| (refusal.status, refusal.code)), expected, "{message} {headers:?}");
}

#[test]
fn the_era_of_a_message() {
    let v = "2026-07-28";
    let init =
        r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2026-07-28",META}}"#;
    check(init, (v, "", ""), Ok(Era::Legacy));
    check(init, ("", "", ""), Ok(Era::Legacy));
    let init_modern = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{META}}"#;
    check(init_modern, (v, "initialize", ""), Err((404, -32601)));
    check(r#"{"jsonrpc":"2.0","id":1,"method":"initialize"}"#, ("", "", ""), Err((400, -32602)));

    let legacy = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    for version in ["", "2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
        check(legacy, (version, "", ""), Ok(Era::Legacy));
    }
    check(legacy, ("1.0", "", ""), Err((400, -32000)));
    check(legacy, ("AMBIGUOUS", "", ""), Err((400, -32000)));
    check(legacy, (v, "tools/list", ""), Err((400, -32602)));
    check(legacy, ("2027-01-01", "tools/list", ""), Err((400, -32602)));
    check(r#"{"jsonrpc":"2.0","id":1,"method":"server/discover"}"#, ("", "", ""), Err((400, -32602)));
    check(r#"{"jsonrpc":"2.0","id":1,"result":{META}}"#, ("", "", ""), Ok(Era::Legacy));

    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{META}}"#;
    check(list, (v, "tools/list", ""), Ok(Era::Modern));
    for removed in ["ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe", "tasks/list"]
    {
        check(&list.replace("tools/list", removed), (v, removed, ""), Err((404, -32601)));
    }
    check(list, ("", "tools/list", ""), Err((400, -32020)));
    check(list, ("2025-11-25", "tools/list", ""), Err((400, -32020)));
    check(list, (v, "", ""), Err((400, -32020)));
    check(list, (v, "Tools/list", ""), Err((400, -32020)));
    check(list, (v, "AMBIGUOUS", ""), Err((400, -32020)));
    check(
        r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#,
        (v, "a", ""),
        Err((400, -32602)),
    );
    check(
        r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2099-01-01"}}}"#,
        ("2099-01-01", "a", ""),
        Err((400, -32022)),
    );
}

#[test]
fn the_name_in_header_and_body() {
    let v = "2026-07-28";
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"é",META}}"#;
    check(call, (v, "tools/call", "=?base64?w6k=?="), Ok(Era::Modern));
    check(call, (v, "tools/call", "=?base64?w6k?="), Err((400, -32020)));
    check(call, (v, "tools/call", "e"), Err((400, -32020)));
    check(call, (v, "tools/call", ""), Err((400, -32020)));
    let read = r#"{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"a:b","name":"x",META}}"#;
    check(read, (v, "resources/read", "a:b"), Ok(Era::Modern));
    check(read, (v, "resources/read", "x"), Err((400, -32020)));
    check(
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{META}}"#,
        (v, "tools/call", ""),
        Ok(Era::Modern),
    );
}

#[test]
fn a_refused_revision_names_the_served_ones() {
    let message = r#"{"jsonrpc":"2.0","id":"a","method":"x","params":{META}}"#
        .replace("META", META)
        .replace("2026-07-28", "2099-01-01");
    let refusal = dispatch(&scan(message.as_bytes()).unwrap(), &fields("2099-01-01", "x", "")).unwrap_err();
    assert_eq!(
        String::from_utf8(refusal.body(Some("\"a\""))).unwrap(),
        concat!(
            r#"{"jsonrpc":"2.0","id":"a","error":{"code":-32022,"#,
            r#""message":"revision `2099-01-01` is not served here; served are 2026-07-28,2025-11-25,2025-06-18,2025-03-26,2024-11-05","#,
            r#""data":{"supported":["2026-07-28","2025-11-25","2025-06-18","2025-03-26","2024-11-05"],"requested":"2099-01-01"}}}"#
        )
    );
}
