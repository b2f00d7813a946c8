//! The multiplexer: tables for its rules, properties for what must hold for any messages.

use proptest::prelude::*;

use std::sync::Arc;

use super::*;
use crate::client::{Capabilities, Hello};
use crate::envelope;

mod questions;

const LEGACY: Caller = Caller {
    era: Era::Legacy,
    principal: [0; 16],
    session: None,
    hello: None,
    can: Capabilities::of_bits(0),
    name: None,
    takes_requests: true,
    rule: None,
};
const MODERN: Caller = Caller { era: Era::Modern, ..LEGACY };
const NOW: Duration = Duration::ZERO;

fn session(n: u8) -> Caller {
    Caller { session: Some(SessionId::of_random([n; 16])), ..LEGACY }
}

fn unopened() -> Mux<u32> {
    Mux::new(&Setup {
        instance_key: "key",
        random: [7; park::RANDOM],
        first_question: 1000,
        is_private: true,
        owners_are_known: false,
    })
}

fn send(mux: &mut Mux<u32>, text: &str, caller: Caller, to: u32) -> (CallKey, String) {
    let message = envelope::scan(text.as_bytes()).unwrap();
    let id = message.id.unwrap();
    let mut out = Vec::new();
    match mux.request(&message, id, caller, to, NOW, &mut out) {
        Begun::Forwarded(key) => (key, String::from_utf8(out).unwrap()),
        Begun::Answered(answer) => panic!("answered: {}", String::from_utf8_lossy(&answer)),
    }
}

/// A multiplexer whose server was opened, and what the server was sent by that.
fn opened(speaks: Speaks, capabilities: &str) -> (Mux<u32>, String) {
    let mut mux = unopened();
    let mut out = Vec::new();
    let server_info = r#"{"name":"s"}"#.into();
    let client = r#"{"name":"berth"}"#.into();
    let offers = Offers::of(capabilities);
    mux.open(Backend { speaks, offers, server_info, client, ..Backend::default() }, &mut out);
    (mux, String::from_utf8(out).unwrap())
}

/// A multiplexer whose server takes both eras, so that nothing is translated.
fn both() -> Mux<u32> {
    opened(Speaks::Both, "{}").0
}

fn note(mux: &mut Mux<u32>, text: &str, caller: &Caller) -> (Noted<u32>, String) {
    let mut out = Vec::new();
    let noted = mux.notification(&envelope::scan(text.as_bytes()).unwrap(), caller, NOW, &mut out);
    (noted, String::from_utf8(out).unwrap())
}

fn line(mux: &mut Mux<u32>, text: &str) -> (Output<u32>, String) {
    let mut out = Vec::new();
    let output = mux.line(text.as_bytes(), None, NOW, &mut out);
    (output, String::from_utf8(out).unwrap())
}

fn answer(to: u32, message: &str) -> Output<u32> {
    Output::Answer { to, message: message.into(), code: None }
}

#[test]
fn ids_and_tokens_are_replaced_and_restored() {
    let mut mux = unopened();
    let text = r#"{"jsonrpc":"2.0","id":"a\u00e9","method":"x","params":{"_meta":{"progressToken":1.50},"big":123456789012345678901}}"#;
    let (_, sent) = send(&mut mux, text, LEGACY, 7);
    assert_eq!(
        sent,
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"x\",\"params\":{\"_meta\":{\"progressToken\":1},\"big\":123456789012345678901}}\n"
    );
    let progress =
        r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}"#;
    assert_eq!(
        line(&mut mux, progress).0,
        Output::Between { to: 7, message: progress.replace(":1,\"progress\"", ":1.50,\"progress\"").into() }
    );
    assert_eq!(
        line(&mut mux, r#"{"id":1,"x":0,"jsonrpc":"2.0","result":{"v":1e400}}"#).0,
        answer(7, r#"{"id":"a\u00e9","x":0,"jsonrpc":"2.0","result":{"v":1e400}}"#)
    );
    assert_eq!(line(&mut mux, r#"{"id":1,"jsonrpc":"2.0","result":{}}"#).0, Output::Nobody);
    assert_eq!(line(&mut mux, progress).0, Output::Nobody);
    assert_eq!(mux.dropped(), Dropped { late_answers: 1, notifications: 1, ..Dropped::default() });
}

#[test]
fn only_our_own_plain_numbers_are_answers() {
    for id in ["2", "\"1\"", "1.0", "-1", "01", "0", "99999999999999999999999", "null"] {
        let mut mux = unopened();
        send(&mut mux, r#"{"jsonrpc":"2.0","id":5,"method":"x"}"#, LEGACY, 7);
        let (output, _) = line(&mut mux, &format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":1}}}}"#));
        assert!(matches!(output, Output::Nobody | Output::Garbage(_)), "{id}: {output:?}");
        assert_eq!(mux.in_flight(), 1, "{id}");
    }
}

#[test]
fn a_client_cancels_its_own_call_only() {
    let mut mux = unopened();
    let text = r#"{"jsonrpc":"2.0","id":1,"method":"x"}"#;
    send(&mut mux, text, session(1), 1);
    send(&mut mux, text, session(2), 2);
    let cancel =
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1,"reason":"r"}}"#;
    let (noted, sent) = note(&mut mux, cancel, &session(2));
    assert_eq!(noted, Noted::Cancelled(2));
    assert_eq!(sent, cancel.replace("\"requestId\":1", "\"requestId\":2") + "\n");
    for (text, caller) in [
        (cancel, session(2)),
        (cancel, session(3)),
        (cancel, MODERN),
        (r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"1"}}"#, session(1)),
        (r#"{"jsonrpc":"2.0","method":"notifications/cancelled"}"#, session(1)),
        (r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#, session(1)),
        (r#"{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}"#, session(1)),
    ] {
        assert_eq!(note(&mut mux, text, &caller), (Noted::Ignored, String::new()), "{text}");
    }
    let own = r#"{"jsonrpc":"2.0","method":"notifications/vendor/thing"}"#;
    assert_eq!(note(&mut mux, own, &session(1)), (Noted::Forwarded, format!("{own}\n")));
    assert_eq!(line(&mut mux, r#"{"jsonrpc":"2.0","id":2,"result":{}}"#).0, Output::Nobody);
    assert_eq!(mux.in_flight(), 1);
}

#[test]
fn a_modern_caller_who_leaves_has_cancelled_and_a_legacy_one_has_not() {
    let mut mux = unopened();
    let text = r#"{"jsonrpc":"2.0","id":1,"method":"x"}"#;
    let (modern, _) = send(&mut mux, text, MODERN, 1);
    let (legacy, _) = send(&mut mux, text, LEGACY, 2);
    let mut out = Vec::new();
    mux.left(modern, Duration::ZERO, &mut out);
    let cancelled = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":N,"reason":"the client has left"}}"#;
    assert_eq!(String::from_utf8(std::mem::take(&mut out)).unwrap(), cancelled.replace('N', "1") + "\n");
    mux.left(legacy, Duration::from_secs(10), &mut out);
    mux.tick(Duration::from_secs(309), &mut out);
    assert_eq!((out.len(), mux.in_flight()), (0, 1), "the server goes on with a legacy call");
    mux.tick(Duration::from_secs(310), &mut out);
    assert_eq!(String::from_utf8(out).unwrap(), cancelled.replace('N', "2") + "\n");
    assert_eq!(mux.in_flight(), 0);
}

#[test]
fn requests_of_the_server_are_answered_here() {
    let mut mux = unopened();
    send(&mut mux, r#"{"jsonrpc":"2.0","id":1,"method":"x"}"#, LEGACY, 1);
    let (output, sent) = line(&mut mux, r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#);
    assert_eq!(
        (output, sent.as_str()),
        (Output::Nobody, "{\"jsonrpc\":\"2.0\",\"id\":\"p\",\"result\":{}}\n")
    );
    let (output, sent) = line(&mut mux, r#"{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage"}"#);
    assert_eq!(output, Output::Nobody);
    assert!(
        sent.starts_with(r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"#) && sent.ends_with("}\n"),
        "{sent}"
    );
    assert_eq!((mux.in_flight(), mux.dropped().requests), (1, 1));
}

#[test]
fn log_messages_reach_a_lone_call_that_may_have_them() {
    let log = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"d"}}"#;
    let asks = r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{"io.modelcontextprotocol/logLevel":"info"}}}"#;
    let plain = r#"{"jsonrpc":"2.0","id":1,"method":"x"}"#;
    for (text, caller, calls, reaches) in [
        (plain, LEGACY, 1, true),
        (plain, LEGACY, 2, false),
        (plain, MODERN, 1, false),
        (asks, MODERN, 1, true),
        (plain, LEGACY, 0, false),
    ] {
        let mut mux = both();
        for to in 0..calls {
            send(&mut mux, text, caller.clone(), to);
        }
        let reached =
            matches!(line(&mut mux, log).0, Output::Between { to: 0, message } if message == log.as_bytes());
        assert_eq!(reached, reaches, "{text} {caller:?} {calls}");
    }
}

#[test]
fn a_subscription_keeps_its_clients_id() {
    let mut mux = both();
    send(&mut mux, r#"{"jsonrpc":"2.0","id":"s","method":"subscriptions/listen"}"#, MODERN, 1);
    let tagged = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":1}}}"#;
    assert_eq!(
        line(&mut mux, tagged).0,
        Output::Between { to: 1, message: tagged.replace("Id\":1", "Id\":\"s\"").into() }
    );
    let end = r#"{"jsonrpc":"2.0","id":1,"result":{"_meta":{"io.modelcontextprotocol/subscriptionId":1}}}"#;
    let restored = end.replace("Id\":1", "Id\":\"s\"").replace("\"id\":1", "\"id\":\"s\"");
    assert_eq!(line(&mut mux, end).0, answer(1, &restored));
}

#[test]
fn the_end_of_the_process_ends_every_call_with_its_own_id() {
    let mut mux = unopened();
    send(&mut mux, r#"{"jsonrpc":"2.0","id":"a","method":"x"}"#, LEGACY, 1);
    send(&mut mux, r#"{"jsonrpc":"2.0","id":2.0,"method":"x"}"#, MODERN, 2);
    let mut ended = mux.ended("the server ended with exit code 3");
    ended.sort();
    let texts: Vec<_> = ended.into_iter().map(|(to, body)| (to, String::from_utf8(body).unwrap())).collect();
    let error = r#""error":{"code":-32603,"message":"the server ended with exit code 3"}}"#;
    assert_eq!(
        texts,
        [
            (1, format!(r#"{{"jsonrpc":"2.0","id":"a",{error}"#)),
            (2, format!(r#"{{"jsonrpc":"2.0","id":2.0,{error}"#))
        ]
    );
    assert_eq!(mux.in_flight(), 0);
}

#[test]
fn errors_to_modern_callers_name_their_code() {
    let mut mux = unopened();
    send(&mut mux, r#"{"jsonrpc":"2.0","id":1,"method":"x"}"#, MODERN, 1);
    let (output, _) = line(&mut mux, r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"m"}}"#);
    assert!(matches!(output, Output::Answer { code: Some(-32601), .. }));
}

const META: &str = r#""io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}"#;
const ALL: &str =
    r#"{"logging":{},"tools":{"listChanged":true},"resources":{"subscribe":true,"listChanged":true}}"#;

#[test]
fn a_modern_call_is_a_legacy_one_to_a_legacy_server() {
    let (mut mux, sent) = opened(Speaks::Legacy, "{}");
    assert_eq!(sent, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n");
    let text = r#"{"jsonrpc":"2.0","id":"a","method":"tools/list","params":{"_meta":{M, "progressToken":"t", "own":1},"cursor":"c"}}"#;
    let (_, sent) = send(&mut mux, &text.replace('M', META), MODERN, 1);
    assert_eq!(
        sent,
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{\"_meta\":{ \"progressToken\":1, \"own\":1},\"cursor\":\"c\"}}\n"
    );
    assert_eq!(
        line(&mut mux, r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[]}}"#).0,
        answer(
            1,
            r#"{"jsonrpc":"2.0","id":"a","result":{"resultType":"complete","ttlMs":0,"cacheScope":"private","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"s"}},"tools":[]}}"#
        )
    );
    for (from, to, status) in
        [(-32002, -32602, 200), (-32601, -32601, 404), (-32042, -32603, 200), (7, 7, 200)]
    {
        let (CallKey(key), _) = send(&mut mux, r#"{"jsonrpc":"2.0","id":2,"method":"x"}"#, MODERN, 1);
        let error = |id: u64, code: i64| {
            format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":"m"}}}}"#)
        };
        let (output, _) = line(&mut mux, &error(key, from));
        assert_eq!(output, Output::Answer { to: 1, message: error(2, to).into(), code: Some(to) });
        assert_eq!(crate::front::status_of(Some(to)), status);
    }
}

#[test]
fn a_legacy_call_is_a_modern_one_to_a_modern_server() {
    let (mut mux, sent) = opened(Speaks::Modern, ALL);
    assert!(
        sent.contains(r#""notifications":{"toolsListChanged":true,"resourcesListChanged":true}"#),
        "{sent}"
    );
    let level = r#"{"jsonrpc":"2.0","id":3,"method":"logging/setLevel","params":{"level":"debug"}}"#;
    assert_eq!(here(&mut mux, level), (r#"{"jsonrpc":"2.0","id":3,"result":{}}"#.to_owned(), String::new()));
    let meta = r#""io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/clientInfo":{"name":"berth"},"io.modelcontextprotocol/logLevel":"debug""#;
    let (key, sent) = send(&mut mux, r#"{"jsonrpc":"2.0","id":"a","method":"tools/list"}"#, session(1), 1);
    assert_eq!(
        sent,
        format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tools/list\",\"params\":{{\"_meta\":{{{meta}}}}}}}\n"
        )
    );
    assert_eq!(key, CallKey(2));
    let (output, _) = line(
        &mut mux,
        r#"{"jsonrpc":"2.0","id":2,"result":{"resultType":"complete","tools":[], "ttlMs":5 ,"cacheScope":"public"}}"#,
    );
    assert_eq!(output, answer(1, r#"{"jsonrpc":"2.0","id":"a","result":{"tools":[] }}"#));
    send(&mut mux, r#"{"jsonrpc":"2.0","id":4,"method":"tools/call"}"#, session(1), 1);
    let (output, _) = line(
        &mut mux,
        r#"{"jsonrpc":"2.0","id":3,"result":{"resultType":"input_required","inputRequests":{}}}"#,
    );
    assert!(
        matches!(output, Output::Answer { message, .. } if String::from_utf8_lossy(&message).contains("-32603"))
    );
    for (method, expected) in [("ping", "\"result\":{}"), ("tasks/list", "-32601")] {
        let (answer, _) = here(&mut mux, &format!(r#"{{"jsonrpc":"2.0","id":5,"method":"{method}"}}"#));
        assert!(answer.contains(expected), "{answer}");
    }
    // The changes that the server announces to its one listener reach the session, without its tag.
    mux.open_session(
        match session(1).session {
            Some(id) => id,
            None => panic!(),
        },
        9,
        NOW,
        &mut Vec::new(),
    )
    .unwrap();
    let changed = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":1}}}"#;
    let heard = changed.replace(r#""io.modelcontextprotocol/subscriptionId":1"#, "");
    assert_eq!(line(&mut mux, changed).0, Output::Many(vec![(9, heard.into())]));
}

/// A request that is answered here: the answer, and what the server was sent.
fn here(mux: &mut Mux<u32>, text: &str) -> (String, String) {
    let message = envelope::scan(text.as_bytes()).unwrap();
    let mut out = Vec::new();
    match mux.request(&message, message.id.unwrap(), session(1), 1, NOW, &mut out) {
        Begun::Answered(answer) => (String::from_utf8(answer).unwrap(), String::from_utf8(out).unwrap()),
        Begun::Forwarded(_) => panic!("forwarded: {text}"),
    }
}

#[test]
fn listeners_hear_what_they_asked_for_with_their_own_tag() {
    let (mut mux, _) = opened(Speaks::Legacy, ALL);
    let listen = |id: &str, filter: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"subscriptions/listen","params":{{"_meta":{{{META}}},"notifications":{filter}}}}}"#
        )
    };
    let mut open = |text: &str, to| {
        let mut out = Vec::new();
        let message = envelope::scan(text.as_bytes()).unwrap();
        let (key, acknowledged) = mux.listen(&message, to, &mut out).unwrap();
        (key, String::from_utf8(acknowledged).unwrap(), String::from_utf8(out).unwrap())
    };
    let (tools, acknowledged, sent) =
        open(&listen("\"a\"", r#"{"toolsListChanged":true,"promptsListChanged":true,"taskIds":["t"]}"#), 1);
    assert_eq!(
        (acknowledged.as_str(), sent.as_str()),
        (
            r#"{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":"a"},"notifications":{"toolsListChanged":true}}}"#,
            ""
        )
    );
    let (first, acknowledged, sent) = open(&listen("7", r#"{"resourceSubscriptions":["x:/a"]}"#), 2);
    assert!(acknowledged.contains(r#""resourceSubscriptions":["x:/a"]"#), "{acknowledged}");
    assert_eq!(
        sent,
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"resources/subscribe\",\"params\":{\"uri\":\"x:/a\"}}\n"
    );
    let (second, _, sent) = open(&listen("8", r#"{"resourceSubscriptions":["x:/a"]}"#), 3);
    assert_eq!(sent, "", "the server is asked once");

    let changed = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
    let tagged = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":"a"}}}"#;
    assert_eq!(line(&mut mux, changed).0, Output::Many(vec![(1, tagged.into())]));
    let updated = |uri: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{{"uri":"{uri}"}}}}"#
        )
    };
    let (output, _) = line(&mut mux, &updated("x:/a/b"));
    assert!(matches!(output, Output::Many(heard) if heard.iter().map(|(to, _)| *to).eq([2, 3])));
    for nobody in
        [updated("x:/ab"), changed.replace("tools", "prompts"), changed.replace("tools", "resources")]
    {
        assert_eq!(line(&mut mux, &nobody).0, Output::Nobody, "{nobody}");
    }
    let mut out = Vec::new();
    mux.close(first, &mut out);
    assert!(out.is_empty(), "another watches it");
    mux.close(second, &mut out);
    assert!(String::from_utf8(out).unwrap().contains("resources/unsubscribe"));
    let ended = mux.end_streams();
    let last = r#"{"jsonrpc":"2.0","id":"a","result":{"resultType":"complete","_meta":{"io.modelcontextprotocol/subscriptionId":"a"}}}"#;
    assert_eq!(ended, [(1, Some(last.into()))]);
    mux.close(tools, &mut Vec::new());
    assert_eq!(mux.in_flight(), 0);
}

#[test]
fn the_server_logs_from_the_lowest_level_anybody_wants_and_each_hears_from_its_own() {
    let (mut mux, _) = opened(Speaks::Legacy, ALL);
    let to_level = |level: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"logging/setLevel","params":{{"level":"{level}"}}}}"#)
    };
    let (_, sent) = here(&mut mux, &to_level("warning"));
    assert!(sent.contains(r#"{"level":"warning"}"#), "{sent}");
    assert_eq!(here(&mut mux, &to_level("error")).1, "", "it logs enough already");
    assert!(here(&mut mux, &to_level("loud")).0.contains("-32602"));
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"_meta":{"io.modelcontextprotocol/logLevel":"info"}}}"#;
    let (key, sent) = send(&mut mux, call, MODERN, 5);
    assert!(sent.contains(r#"{"level":"info"}"#), "{sent}");
    let log = |level: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/message","params":{{"level":"{level}","data":1}}}}"#
        )
    };
    assert_eq!(line(&mut mux, &log("debug")).0, Output::Nobody);
    assert_eq!(line(&mut mux, &log("info")).0, Output::Between { to: 5, message: log("info").into() });
    line(&mut mux, &format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{}}}}"#, key.0));

    mux.open_session(SessionId::of_random([1; 16]), 8, NOW, &mut Vec::new()).unwrap();
    assert_eq!(line(&mut mux, &log("warning")).0, Output::Nobody, "the session wants errors");
    assert_eq!(line(&mut mux, &log("error")).0, Output::Many(vec![(8, log("error").into())]));
    let mut out = Vec::new();
    mux.tick(Duration::ZERO, &mut out);
    assert!(String::from_utf8(out).unwrap().contains(r#"{"level":"error"}"#), "nobody wants more");

    // The next server is told what the sessions were promised.
    let mut out = Vec::new();
    mux.ended("gone");
    mux.open(Backend { offers: Offers::of(ALL), ..Backend::default() }, &mut out);
    assert!(String::from_utf8(out).unwrap().contains(r#"{"level":"error"}"#));
    assert_eq!(mux.end_session(SessionId::of_random([1; 16]), &mut Vec::new()), Some(8));
}

#[test]
fn sessions_watch_resources_together() {
    let (mut mux, _) = opened(Speaks::Legacy, ALL);
    let text = |method: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"resources/{method}","params":{{"uri":"x:a"}}}}"#)
    };
    for who in [1, 2] {
        let (key, _) = send(&mut mux, &text("subscribe"), session(who), 0);
        line(&mut mux, &format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{}}}}"#, key.0));
        mux.open_session(SessionId::of_random([who; 16]), who.into(), NOW, &mut Vec::new()).unwrap();
    }
    let updated = r#"{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"x:a"}}"#;
    assert_eq!(line(&mut mux, updated).0, Output::Many(vec![(1, updated.into()), (2, updated.into())]));
    assert_eq!(here(&mut mux, &text("unsubscribe")).1, "", "another session watches it");
    let (_, sent) = send(&mut mux, &text("unsubscribe"), session(2), 0);
    assert!(sent.contains("resources/unsubscribe"), "{sent}");
    assert_eq!(line(&mut mux, updated).0, Output::Nobody);
}

/// JSON of any kind, as text with whitespace that a serialiser would not write.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just(" true".to_owned()),
        "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,4})?([eE][+-]?[0-9]{1,3})?",
        any::<String>().prop_map(|text| errors::quote(&text)),
        Just("\"\\ud83d\\u0000\\/\"".to_owned()),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(" ,"))),
            prop::collection::vec((any::<String>(), inner), 0..4).prop_map(|members| {
                let members: Vec<String> = members
                    .iter()
                    .map(|(key, value)| format!("{} : {value}", errors::quote(&format!("k{key}"))))
                    .collect();
                format!("{{{}\t}}", members.join(","))
            }),
        ]
    })
}

/// An id or a token, as text.
fn id() -> impl Strategy<Value = String> {
    prop_oneof![
        "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,3})?",
        any::<String>().prop_map(|text| errors::quote(&text)),
        (1..6_u8).prop_map(|n| n.to_string()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever clients send and in whatever order the server answers, each caller gets exactly its own answer and its
    /// own progress, with its own id and token as it wrote them, and every other byte as the server wrote it.
    #[test]
    fn nothing_crosses_between_calls(
        calls in prop::collection::vec((id(), prop::option::of(id()), json(), json()), 1..8),
        order in any::<u64>(),
    ) {
        let mut mux = unopened();
        let mut wire = Vec::new();
        for (to, (id, token, argument, _)) in (0..).zip(&calls) {
            let text = |id: &str, token: Option<&str>| {
                let meta = token.map_or("{}".to_owned(), |token| format!(r#"{{"progressToken":{token}}}"#));
                format!(r#"{{"jsonrpc":"2.0","method":"m","params":{{"a":{argument},"_meta":{meta}}},"id":{id}}}"#)
            };
            let (key, sent) = send(&mut mux, &text(id, token.as_deref()), LEGACY, to);
            let number = key.0.to_string();
            prop_assert_eq!(sent, text(&number, token.as_ref().map(|_| &*number)) + "\n");
            wire.push((to, number));
        }
        let mut seed = order;
        while !wire.is_empty() {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (to, number) = wire.swap_remove(usize::try_from(seed >> 33).unwrap() % wire.len());
            let (id, token, _, result) = &calls[usize::try_from(to).unwrap()];
            let progress = |token: &str| format!(
                r#"{{"method":"notifications/progress","params":{{"x":{result},"progressToken":{token}}},"jsonrpc":"2.0"}}"#
            );
            let expected = token.as_ref().map_or(Output::Nobody, |token| {
                Output::Between { to, message: progress(token).into() }
            });
            prop_assert_eq!(line(&mut mux, &progress(&number)).0, expected);
            let text = |id: &str| format!(r#"{{"result":{result},"jsonrpc":"2.0","id":{id}}}"#);
            prop_assert_eq!(line(&mut mux, &text(&number)).0, answer(to, &text(id)));
            prop_assert_eq!(line(&mut mux, &text(&number)).0, Output::Nobody);
        }
        prop_assert_eq!(mux.in_flight(), 0);
    }

    /// No bytes of a server's make the multiplexer panic or reach a caller they are not for.
    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut mux = unopened();
        let mut out = Vec::new();
        let reached = matches!(mux.line(&bytes, None, NOW, &mut out), Output::Answer { .. } | Output::Between { .. });
        prop_assert!(!reached);
    }
}
