//! The envelope: what is refused, what is found, and that a splice changes nothing else.

use super::*;

#[track_caller]
fn check_refused(message: &str, expected: &EnvelopeError) {
    assert_eq!(scan(message.as_bytes()).as_ref().expect_err(message), expected);
}

#[test]
fn refuses_what_is_no_message() {
    for key in ["jsonrpc", "id", "method", "params", "result", "error"] {
        let value = match key {
            "jsonrpc" => "\"2.0\"",
            "method" => "\"x\"",
            _ => "1",
        };
        let message = format!(r#"{{"jsonrpc":"2.0","{key}":{value},"{key}":{value}}}"#);
        check_refused(&message, &EnvelopeError::RepeatedKey { key });
    }
    check_refused(
        r#"{"jsonrpc":"2.0","\u0069d":1,"method":"x"}"#,
        &EnvelopeError::EscapedKey { key: "(envelope)" },
    );
    check_refused(
        r#"{"jsonrpc":"2.0","method":"x","params":{"\u005fmeta":{}}}"#,
        &EnvelopeError::EscapedKey { key: "_meta" },
    );
    check_refused(
        r#"{"jsonrpc":"2.0","method":"x","params":{"_meta":{"progress\u0054oken":1}}}"#,
        &EnvelopeError::EscapedKey { key: "progressToken" },
    );
    check_refused(
        r#"{"jsonrpc":"2.0","method":"x","params":{"name":"a","name":"b"}}"#,
        &EnvelopeError::RepeatedKey { key: "name" },
    );
    check_refused(r#"{"jsonrpc":"2.0","id":null,"method":"x"}"#, &EnvelopeError::Id);
    check_refused(r#"{"jsonrpc":"2.0","id":{},"method":"x"}"#, &EnvelopeError::Id);
    check_refused(r#"{"jsonrpc":"2.0","id":true,"result":1}"#, &EnvelopeError::Id);
    check_refused(r#"{"jsonrpc":"2.0","result":1}"#, &EnvelopeError::Id);
    let long = format!(r#"{{"jsonrpc":"2.0","id":"{}","method":"x"}}"#, "i".repeat(1023));
    check_refused(&long, &EnvelopeError::Id);
    check_refused(r#"{"jsonrpc":"2.0","id":1,"method":2}"#, &EnvelopeError::Method);
    check_refused(r#"{"jsonrpc":"2.0","id":1}"#, &EnvelopeError::Shape);
    check_refused(r#"{"jsonrpc":"2.0","id":1,"result":1,"error":{}}"#, &EnvelopeError::Shape);
    check_refused(r#"{"jsonrpc":"2.0","id":1,"method":"x","result":1}"#, &EnvelopeError::Shape);
    check_refused(r#"{"jsonrpc":"2.0","id":1,"params":{},"result":1}"#, &EnvelopeError::Shape);
    check_refused(r#"{"id":1,"method":"x"}"#, &EnvelopeError::Version);
    check_refused(r#"{"jsonrpc":"1.0","id":1,"method":"x"}"#, &EnvelopeError::Version);
    check_refused("[]", &EnvelopeError::Batch);
    check_refused("17", &EnvelopeError::NotObject);
    check_refused("", &EnvelopeError::NotJson { at: 0, expected: "a value" });
    check_refused("{} x", &EnvelopeError::NotJson { at: 3, expected: "the end of the message" });
    check_refused(
        "{\"a\":\"x\ny\"}",
        &EnvelopeError::NotJson { at: 7, expected: "no control character within a string" },
    );
    check_refused(&"[".repeat(200_000), &EnvelopeError::TooDeep);
    assert_eq!(scan(b"{\"\xff\"}").unwrap_err(), EnvelopeError::NotUtf8 { at: 2 });
}

#[test]
fn finds_the_marks() {
    let message = concat!(
        r#"{"params":{"_meta":{"progressToken":"p\"1","io.modelcontextprotocol/protocolVersion":"2026-07-28","#,
        r#""io.modelcontextprotocol/clientCapabilities":{"a":[1]},"io.modelcontextprotocol/logLevel":"info"},"#,
        r#""name":"echo","arguments":{"name":"inner","_meta":{"progressToken":9}}},"#,
        r#""x":18446744073709551616,"method":"tools\/call","id":-1.50E+3,"jsonrpc":"2.0"}"#
    );
    let envelope = scan(message.as_bytes()).unwrap();
    let raw = |span: Option<Span>| span.map(|span| envelope.raw(span));
    assert_eq!(envelope.kind(), Kind::Request);
    assert_eq!(envelope.method(), "tools/call");
    assert_eq!(envelope.raw_id(), Some("-1.50E+3"));
    assert_eq!(raw(envelope.marks.meta_progress_token), Some(r#""p\"1""#));
    assert_eq!(raw(envelope.marks.meta_version), Some("\"2026-07-28\""));
    assert_eq!(raw(envelope.marks.meta_capabilities), Some(r#"{"a":[1]}"#));
    assert_eq!(raw(envelope.marks.meta_log_level), Some("\"info\""));
    assert_eq!(raw(envelope.marks.name), Some("\"echo\""));
    assert_eq!(envelope.marks.progress_token, None);
}

#[test]
fn an_error_without_an_id_is_an_answer_to_nothing() {
    for message in [r#"{"jsonrpc":"2.0","id":null,"error":{}}"#, r#"{"jsonrpc":"2.0","error":{}}"#] {
        let envelope = scan(message.as_bytes()).unwrap();
        assert_eq!((envelope.kind(), envelope.raw_id()), (Kind::Answer, None));
    }
}

#[test]
fn line_breaks_between_tokens_become_spaces() {
    let envelope = scan(b"{\r\n\"jsonrpc\":\"2.0\",\n\"id\":1,\"method\":\"a\\nb\"}\n").unwrap();
    let mut out = Vec::new();
    envelope.splice(&mut [(envelope.id.unwrap(), b"77")], &mut out);
    assert_eq!(out, b"{  \"jsonrpc\":\"2.0\", \"id\":77,\"method\":\"a\\nb\"} ");
}

#[test]
fn agrees_with_another_parser_on_what_is_json() {
    let pieces = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"a\"",
        "\"\\u12aF\"",
        "\"\\x\"",
        "1",
        "-",
        "0",
        "01",
        "1.5",
        "1.",
        "1e5",
        "1e",
        "true",
        "nul",
        "null",
        " ",
        "\n",
        "\"ünïcode 😀 long enough for words of eight\"",
        "\"\\\\\"",
        "\"open",
    ];
    // A fixed linear congruential sequence: many short texts, the same in every run.
    let mut seed: u64 = 7;
    let mut next = |bound: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap() % bound
    };
    let mut accepted = 0;
    for _ in 0..200_000 {
        let text: String = (0..=next(7)).map(|_| pieces[next(pieces.len())]).collect();
        let mut scanner = Scanner::new(&text);
        let ours = scanner.value().and_then(|_| scanner.end()).is_ok();
        let theirs = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
        assert_eq!(ours, theirs, "{text:?}");
        accepted += usize::from(ours);
    }
    assert!(1000 < accepted, "the pieces form JSON often enough to mean something: {accepted}");
}
