use super::*;

/// A `tools/list` answer with tools named `t0`, `t1` … of these input schemas.
fn list(schemas: &[&str]) -> String {
    let tools: Vec<String> = schemas
        .iter()
        .enumerate()
        .map(|(n, schema)| format!(r#"{{"name":"t{n}","inputSchema":{schema}}}"#))
        .collect();
    format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":[{}]}}}}"#, tools.join(", "))
}

fn learned(schemas: &[&str]) -> (Known, Vec<Invalid>) {
    let mut known = Known::new();
    let invalid = known.learn(&envelope::scan(list(schemas).as_bytes()).unwrap());
    (known, invalid)
}

fn call(arguments: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"t0",{arguments}"_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{{"x":{{}}}},"progressToken":7}}}}}}"#
    )
}

fn headers(known: &Known, message: &str) -> Vec<String> {
    let mut found = Vec::new();
    known.each(&envelope::scan(message.as_bytes()).unwrap(), &mut |name, value| {
        found.push(format!("{name}: {value}"));
    });
    found
}

const ALL_KINDS: &str = r#"{"type":"object","properties":{
    "region":{"type":"string","x-mcp-header":"Region"},
    "n":{"x-mcp-header":"N","type":"integer"},
    "sure":{"type":"boolean","x-mcp-header":"Sure"},
    "deep":{"type":"object","properties":{"x-mcp-header":{"type":"string","x-mcp-header":"Deep"}}},
    "plain":{"type":"string","default":{"x-mcp-header":1},"description":"not x-mcp-header"}}}"#;

#[test]
fn declarations() {
    let property = |schema: &str| format!(r#"{{"properties":{{"a":{schema}}}}}"#);
    let of_name = |name: &str| property(&format!(r#"{{"type":"string","x-mcp-header":{name}}}"#));
    let elsewhere = "`properties` alone do not lead to it";
    for (schema, expected) in [
        (ALL_KINDS.to_owned(), Ok(4)),
        (property(r#"{"type":"string"}"#), Ok(0)),
        (property(r#"{"type":"string","enum":["x-mcp-header"]}"#), Ok(0)),
        (of_name("\"!#$%&'*+-.^_`|~09azAZ\""), Ok(1)),
        (of_name(r#""""#), Err("no name of a header")),
        (of_name(r#""My Region""#), Err("no name of a header")),
        (of_name(r#""Region:Primary""#), Err("no name of a header")),
        (of_name(r#""Région""#), Err("no name of a header")),
        (of_name(r#""a\r\nb""#), Err("no name of a header")),
        (of_name("7"), Err("no name of a header")),
        (property(r#"{"type":"number","x-mcp-header":"A"}"#), Err("neither a string")),
        (property(r#"{"type":"object","x-mcp-header":"A"}"#), Err("neither a string")),
        (property(r#"{"type":["string","null"],"x-mcp-header":"A"}"#), Err("neither a string")),
        (property(r#"{"x-mcp-header":"A"}"#), Err("neither a string")),
        (r#"{"x-mcp-header":"A"}"#.to_owned(), Err(elsewhere)),
        (property(r#"{"items":{"type":"string","x-mcp-header":"A"}}"#), Err(elsewhere)),
        (property(r#"{"items":{"properties":{"b":{"type":"string","x-mcp-header":"A"}}}}"#), Err(elsewhere)),
        (property(r#"{"anyOf":[{"type":"string","x-mcp-header":"A"},{"type":"null"}]}"#), Err(elsewhere)),
        (r#"{"$defs":{"const":{"type":"string","x-mcp-header":"A"}}}"#.to_owned(), Err(elsewhere)),
        (r#"{"then":{"properties":{"a":{"type":"string","x-mcp-header":"A"}}}}"#.to_owned(), Err(elsewhere)),
        (
            r#"{"properties":{"a":{"type":"string","x-mcp-header":"A"},"b":{"type":"string","x-mcp-header":"a"}}}"#
                .to_owned(),
            Err("a second time"),
        ),
    ] {
        let (known, invalid) = learned(&[&schema]);
        match expected {
            Ok(count) => {
                assert_eq!(invalid, [], "{schema}");
                assert_eq!(known.tools.get("t0").map_or(0, |tool| tool.len()), count, "{schema}");
            }
            Err(why) => {
                assert_eq!(invalid.len(), 1, "{schema}");
                assert!(invalid[0].why.contains(why) && invalid[0].tool == "t0", "{invalid:?}: {why}");
                assert!(known.tools.is_empty());
            }
        }
    }
}

#[test]
fn what_is_listed_again_is_learned_again() {
    let marked = r#"{"properties":{"a":{"type":"string","x-mcp-header":"A"}}}"#;
    let (mut known, _) = learned(&[marked, "{}", marked]);
    assert_eq!(known.tools.len(), 2);
    known.learn(&envelope::scan(list(&["{}"]).as_bytes()).unwrap());
    assert_eq!(known.tools.keys().map(AsRef::as_ref).collect::<Vec<_>>(), ["t2"]);
    for other in [r#""result":{}"#, r#""result":{"tools":{}}"#, r#""result":[]"#, r#""error":{}"#] {
        let message = format!(r#"{{"jsonrpc":"2.0","id":1,{other}}}"#);
        assert_eq!(known.learn(&envelope::scan(message.as_bytes()).unwrap()), []);
    }
}

#[test]
fn invalid_tools_are_left_out_of_the_list() {
    let bad = r#"{"x-mcp-header":"A"}"#;
    for (schemas, expected) in [
        (vec![bad, "{}", bad], r#"[{"name":"t1","inputSchema":{}}]"#),
        (vec!["{}", "{}", bad], r#"[{"name":"t0","inputSchema":{}},{"name":"t1","inputSchema":{}}]"#),
        (vec![bad], "[]"),
    ] {
        let text = list(&schemas);
        let message = envelope::scan(text.as_bytes()).unwrap();
        let mut out = Vec::new();
        without(&message, &Known::new().learn(&message), &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":{expected}}}}}"#)
        );
    }
}

#[test]
fn values_in_headers() {
    for (value, header) in [
        ("us-west1", "us-west1"),
        ("a b\tc", "a b\tc"),
        ("", ""),
        ("Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="),
        (" padded ", "=?base64?IHBhZGRlZCA=?="),
        ("\tx", "=?base64?CXg=?="),
        ("line1\nline2", "=?base64?bGluZTEKbGluZTI=?="),
        ("\u{7f}", "=?base64?fw==?="),
        ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
        ("=?base64?literal", "=?base64?literal"),
        ("=?BASE64?literal?=", "=?BASE64?literal?="),
    ] {
        assert_eq!(encoded(value), header);
        assert_eq!(decoded(header).as_deref(), Some(value));
    }
    for broken in ["=?base64?!?=", "=?base64?/w==?=", "=?base64?fw?="] {
        assert_eq!(decoded(broken), None, "{broken}");
    }
}

#[test]
fn headers_of_a_request() {
    let (known, _) = learned(&[ALL_KINDS]);
    let first = ["mcp-protocol-version: 2026-07-28", "mcp-method: tools/call", "mcp-name: t0"];
    for (arguments, expected) in [
        ("", vec![]),
        (r#""arguments":7,"#, vec![]),
        (r#""arguments":{"region":null,"n":[],"sure":{},"deep":"x"},"#, vec![]),
        (
            r#""arguments":{"region":"é","n":42.0,"sure":false,"deep":{"x-mcp-header":"d"}},"#,
            vec![
                "mcp-param-deep: d",
                "mcp-param-n: 42",
                "mcp-param-region: =?base64?w6k=?=",
                "mcp-param-sure: false",
            ],
        ),
        (r#""arguments":{"n":-7},"#, vec!["mcp-param-n: -7"]),
        (r#""arguments":{"n":-0},"#, vec!["mcp-param-n: 0"]),
        (r#""arguments":{"n":4.2e1},"#, vec!["mcp-param-n: 42"]),
        (r#""arguments":{"n":18446744073709551616},"#, vec!["mcp-param-n: 18446744073709551616"]),
        (r#""arguments":{"n":4.5,"region":7},"#, vec!["mcp-param-n: 4.5", "mcp-param-region: 7"]),
    ] {
        let mut found = headers(&known, &call(arguments));
        let mut params = found.split_off(3);
        params.sort();
        assert_eq!(found, first);
        assert_eq!(params, expected, "{arguments}");
    }
    for (message, expected) in [
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"file:///é","name":"x"}}"#,
            vec!["mcp-method: resources/read", "mcp-name: =?base64?ZmlsZTovLy/DqQ==?="],
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"tasks/get","params":{"taskId":"k"}}"#,
            vec!["mcp-method: tasks/get", "mcp-name: k"],
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"t0","arguments":{"region":"x"}}}"#,
            vec!["mcp-method: prompts/get", "mcp-name: t0"],
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"name":"x"}}"#,
            vec!["mcp-method: tools/list"],
        ),
    ] {
        assert_eq!(headers(&known, message), expected);
    }
}

#[test]
fn a_clients_headers_are_compared() {
    let (known, _) = learned(&[ALL_KINDS]);
    let check = |arguments: &str, sent: &[(&str, Field<'static>)], expected: &str| {
        let text = call(arguments);
        let message = envelope::scan(text.as_bytes()).unwrap();
        let header = |name: &str| {
            sent.iter().find(|(sent, _)| *sent == name).map_or(Field::Absent, |(_, field)| *field)
        };
        match known.check(&message, header) {
            Ok(()) => assert_eq!(expected, "", "{arguments} {sent:?}"),
            Err(refusal) => {
                assert_eq!((refusal.status, refusal.code), (400, -32020));
                assert!(
                    !expected.is_empty() && refusal.message.contains(expected),
                    "{arguments} {sent:?}: {refusal:?}"
                );
            }
        }
    };
    let one = Field::One;
    let region = "mcp-param-region";
    check("", &[], "");
    check(r#""arguments":{"region":"é"},"#, &[(region, one("=?base64?w6k=?="))], "");
    check(r#""arguments":{"region":"e"},"#, &[(region, one("=?base64?ZQ==?="))], "");
    check(r#""arguments":{"region":"e"},"#, &[(region, one("e")), ("mcp-param-other", Field::Ambiguous)], "");
    check(r#""arguments":{"region":"e"},"#, &[(region, one("E"))], "must be sent once and equal");
    check(r#""arguments":{"region":"e"},"#, &[(region, one("=?base64?e?="))], "must be sent once");
    check(r#""arguments":{"region":"e"},"#, &[(region, Field::Ambiguous)], "must be sent once");
    check(r#""arguments":{"region":"e"},"#, &[], "the argument `region`");
    check(r#""arguments":{"region":null},"#, &[(region, one("e"))], "must not be sent");
    check(r#""arguments":{"region":null},"#, &[], "");
    check("", &[(region, one(""))], "must not be sent");
    check(r#""arguments":{"region":"a","region":"b"},"#, &[(region, one("b"))], "must be sent once");
    check(r#""arguments":{"r\u0065gion":"a"},"#, &[(region, one("a"))], "");
    check(r#""arguments":{"deep":{"x-mcp-header":"d"}},"#, &[("mcp-param-deep", one("d"))], "");
    check(r#""arguments":{"deep":{"x-mcp-header":"d"}},"#, &[], "`deep.x-mcp-header`");
    for (body, header, agrees) in [
        ("42", "42", true),
        ("42", "42.0", true),
        ("42.0", "42", true),
        ("42", "=?base64?NDI=?=", true),
        ("0", "-0", true),
        ("42", "43", false),
        ("42", "+42", false),
        ("42", "NaN", false),
        ("42", "", false),
        ("4.5", "4.5", true),
        ("9007199254740993", "9007199254740992", false),
        ("9007199254740993", "9007199254740993", true),
    ] {
        let expected = if agrees { "" } else { "`n`" };
        check(&format!(r#""arguments":{{"n":{body}}},"#), &[("mcp-param-n", one(header))], expected);
    }
    for (body, header, agrees) in
        [("true", "true", true), ("true", "True", false), ("false", "false", true), ("true", "1", false)]
    {
        let expected = if agrees { "" } else { "`sure`" };
        check(&format!(r#""arguments":{{"sure":{body}}},"#), &[("mcp-param-sure", one(header))], expected);
    }
    let other = call("").replace("tools/call", "prompts/get");
    let message = envelope::scan(other.as_bytes()).unwrap();
    assert_eq!(known.check(&message, |_| Field::Ambiguous), Ok(()));
}

#[test]
fn a_list_is_asked_for_page_by_page() {
    let text = call("");
    let message = envelope::scan(text.as_bytes()).unwrap();
    let answer = r#"{"jsonrpc":"2.0","id":"l","result":{"tools":[],"nextCursor":"a\"b"}}"#;
    let answer = envelope::scan(answer.as_bytes()).unwrap();
    let asked = list_request(&message, "\"l\"", next_cursor(&answer)).unwrap();
    assert_eq!(
        String::from_utf8(asked).unwrap(),
        r#"{"jsonrpc":"2.0","id":"l","method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"x":{}}},"cursor":"a\"b"}}"#
    );
    let last = envelope::scan(br#"{"jsonrpc":"2.0","id":"l","result":{"nextCursor":null}}"#).unwrap();
    assert_eq!(next_cursor(&last), None);
    assert_eq!(list_request(&last, "1", None), None);
}
