//! Translation: tables for its edits, and a property: what is put in is all that changes.

use proptest::prelude::*;

use super::*;
use crate::envelope::scan;

#[track_caller]
fn check_modern(answer: &str, cacheable: bool, expected: &str) {
    let mut out = Vec::new();
    to_modern(&scan(answer.as_bytes()).unwrap(), "7", cacheable, r#"{"name":"s"}"#, &mut out);
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text, expected.replace("INFO", r#""io.modelcontextprotocol/serverInfo":{"name":"s"}"#));
    scan(text.as_bytes()).unwrap();
}

#[test]
fn results_gain_what_modern_clients_need() {
    check_modern(
        r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
        false,
        r#"{"jsonrpc":"2.0","id":7,"result":{"resultType":"complete","_meta":{INFO}}}"#,
    );
    check_modern(
        r#"{"result": { "_meta" : { }, "x":1 } ,"jsonrpc":"2.0","id":1}"#,
        true,
        r#"{"result": {"resultType":"complete","ttlMs":0,"cacheScope":"private", "_meta" : {INFO }, "x":1 } ,"jsonrpc":"2.0","id":7}"#,
    );
    check_modern(
        r#"{"jsonrpc":"2.0","id":1,"result":{"_meta":{"a":1},"resultType":"task","ttlMs":1,"cacheScope":"public"}}"#,
        true,
        r#"{"jsonrpc":"2.0","id":7,"result":{"_meta":{INFO,"a":1},"resultType":"task","ttlMs":1,"cacheScope":"public"}}"#,
    );
    check_modern(
        r#"{"jsonrpc":"2.0","id":1,"result":"odd"}"#,
        true,
        r#"{"jsonrpc":"2.0","id":7,"result":"odd"}"#,
    );
}

#[test]
fn members_go_with_their_commas() {
    for (object, expected) in [
        (r#"{"t":1}"#, "{}"),
        (r#"{ "t" : 1 , "a":2}"#, r#"{  "a":2}"#),
        (r#"{"a":1, "t":{"t":2}, "b":3}"#, r#"{"a":1, "b":3}"#),
        (r#"{"a":1 ,"t":2 }"#, r#"{"a":1  }"#),
        (r#"{"t":1,"t":2,"a":3,"t":4,"t":5}"#, r#"{"a":3}"#),
        (r#"{"t":1, "t":2}"#, "{ }"),
        ("{}", "{}"),
        ("[]", "[]"),
    ] {
        assert_eq!(without(object, "t"), expected, "{object}");
    }
}

#[track_caller]
fn check_put(message: &str, expected: &str) {
    let envelope = scan(message.as_bytes()).unwrap();
    let (mut buffer, mut edits, mut out) = (Vec::new(), Vec::new(), Vec::new());
    put_meta(&envelope, r#""k":1"#, &mut buffer, &mut edits);
    envelope.splice(&mut edits, &mut out);
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn meta_is_made_where_it_is_missing() {
    check_put(
        r#"{"jsonrpc":"2.0","method":"m"}"#,
        r#"{"jsonrpc":"2.0","method":"m","params":{"_meta":{"k":1}}}"#,
    );
    check_put(
        r#"{"jsonrpc":"2.0","params":{},"method":"m"}"#,
        r#"{"jsonrpc":"2.0","params":{"_meta":{"k":1}},"method":"m"}"#,
    );
    check_put(
        r#"{"jsonrpc":"2.0","params":{"a":1},"method":"m"}"#,
        r#"{"jsonrpc":"2.0","params":{"_meta":{"k":1},"a":1},"method":"m"}"#,
    );
    check_put(
        r#"{"jsonrpc":"2.0","params":{"_meta":{}},"method":"m"}"#,
        r#"{"jsonrpc":"2.0","params":{"_meta":{"k":1}},"method":"m"}"#,
    );
    check_put(
        r#"{"jsonrpc":"2.0","params":{"_meta":{"x":2}},"method":"m"}"#,
        r#"{"jsonrpc":"2.0","params":{"_meta":{"k":1,"x":2}},"method":"m"}"#,
    );
    check_put(
        r#"{"jsonrpc":"2.0","params":{"_meta":{"io.modelcontextprotocol/related-task":2}},"method":"m"}"#,
        r#"{"jsonrpc":"2.0","params":{"_meta":{"k":1,"io.modelcontextprotocol/related-task":2}},"method":"m"}"#,
    );
    check_put(
        r#"{"jsonrpc":"2.0","params":{"_meta":{"x":2, "k":"theirs"}},"method":"m"}"#,
        r#"{"jsonrpc":"2.0","params":{"_meta":{"k":1,"x":2}},"method":"m"}"#,
    );
    check_put(
        r#"{"jsonrpc":"2.0","params":{"_meta":{ "\u006b":"theirs" }},"method":"m"}"#,
        r#"{"jsonrpc":"2.0","params":{"_meta":{"k":1  }},"method":"m"}"#,
    );
    check_put(
        r#"{"jsonrpc":"2.0","params":{"_meta":3},"method":"m"}"#,
        r#"{"jsonrpc":"2.0","params":{"_meta":{"k":1}},"method":"m"}"#,
    );
    check_put(
        r#"{"jsonrpc":"2.0","params":[],"method":"m"}"#,
        r#"{"jsonrpc":"2.0","params":[],"method":"m"}"#,
    );
}

/// Members of an object, some of which are the ones that are watched for.
fn members() -> impl Strategy<Value = Vec<(String, String)>> {
    let key = prop_oneof![
        Just("resultType".to_owned()),
        Just("ttlMs".to_owned()),
        Just("cacheScope".to_owned()),
        "[a-z]{1,3}",
    ];
    let value = prop_oneof![
        Just("\"complete\"".to_owned()),
        Just("5".to_owned()),
        Just(" [1, {\"ttlMs\":2}]".to_owned()),
        Just("1.50e3".to_owned()),
    ];
    prop::collection::vec((key, value), 0..6).prop_map(|mut members| {
        let mut seen = std::collections::HashSet::new();
        members.retain(|(key, _)| seen.insert(key.clone()));
        members
    })
}

fn object(members: &[(String, String)]) -> String {
    let members: Vec<String> = members.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// There and back, a result is what it was, but for hints that a legacy client does not know.
    #[test]
    fn a_result_survives_both_ways(members in members()) {
        let answer = |members: &[(String, String)]| format!(r#"{{"jsonrpc":"2.0","id":1,"result":{}}}"#, object(members));
        let text = answer(&members);
        let mut modern = Vec::new();
        to_modern(&scan(text.as_bytes()).unwrap(), "1", true, "", &mut modern);
        let modern_message = scan(&modern).unwrap();
        prop_assert!(modern_message.marks.result_type.is_some() && modern_message.marks.ttl.is_some());
        let mut legacy = Vec::new();
        to_legacy(&modern_message, "1", &mut legacy);
        let stays = |(key, value): &(String, String)| match key.as_str() {
            "ttlMs" | "cacheScope" => false,
            "resultType" => value != "\"complete\"",
            _ => true,
        };
        let expected: Vec<_> = members.iter().filter(|member| stays(member)).cloned().collect();
        prop_assert_eq!(String::from_utf8(legacy).unwrap(), answer(&expected));
    }
}
