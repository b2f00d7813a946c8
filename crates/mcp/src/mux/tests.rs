//! The multiplexer: tables for its rules, properties for what must hold for any messages.

use proptest::prelude::*;

use super::*;

const LEGACY: Caller = Caller { era: Era::Legacy, session: None };
const MODERN: Caller = Caller { era: Era::Modern, session: None };

fn session(n: u8) -> Caller {
    Caller { era: Era::Legacy, session: Some(SessionId::of_random([n; 16])) }
}

fn send(mux: &mut Mux<u32>, text: &str, caller: Caller, to: u32) -> (CallKey, String) {
    let message = envelope::scan(text.as_bytes()).unwrap();
    let id = message.id.unwrap();
    let mut out = Vec::new();
    let key = mux.request(&message, id, caller, to, &mut out);
    (key, String::from_utf8(out).unwrap())
}

fn note(mux: &mut Mux<u32>, text: &str, caller: Caller) -> (Noted<u32>, String) {
    let mut out = Vec::new();
    let noted = mux.notification(&envelope::scan(text.as_bytes()).unwrap(), caller, &mut out);
    (noted, String::from_utf8(out).unwrap())
}

fn line(mux: &mut Mux<u32>, text: &str) -> (Output<u32>, String) {
    let mut out = Vec::new();
    let output = mux.line(text.as_bytes(), &mut out);
    (output, String::from_utf8(out).unwrap())
}

fn answer(to: u32, message: &str) -> Output<u32> {
    Output::Answer { to, message: message.into(), code: None }
}

#[test]
fn ids_and_tokens_are_replaced_and_restored() {
    let mut mux = Mux::new();
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
        let mut mux = Mux::new();
        send(&mut mux, r#"{"jsonrpc":"2.0","id":5,"method":"x"}"#, LEGACY, 7);
        let (output, _) = line(&mut mux, &format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":1}}}}"#));
        assert!(matches!(output, Output::Nobody | Output::Garbage(_)), "{id}: {output:?}");
        assert_eq!(mux.in_flight(), 1, "{id}");
    }
}

#[test]
fn a_client_cancels_its_own_call_only() {
    let mut mux = Mux::new();
    let text = r#"{"jsonrpc":"2.0","id":1,"method":"x"}"#;
    send(&mut mux, text, session(1), 1);
    send(&mut mux, text, session(2), 2);
    let cancel =
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1,"reason":"r"}}"#;
    let (noted, sent) = note(&mut mux, cancel, session(2));
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
        assert_eq!(note(&mut mux, text, caller), (Noted::Ignored, String::new()), "{text}");
    }
    let own = r#"{"jsonrpc":"2.0","method":"notifications/vendor/thing"}"#;
    assert_eq!(note(&mut mux, own, session(1)), (Noted::Forwarded, format!("{own}\n")));
    assert_eq!(line(&mut mux, r#"{"jsonrpc":"2.0","id":2,"result":{}}"#).0, Output::Nobody);
    assert_eq!(mux.in_flight(), 1);
}

#[test]
fn a_modern_caller_who_leaves_has_cancelled_and_a_legacy_one_has_not() {
    let mut mux = Mux::new();
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
    let mut mux = Mux::new();
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
        let mut mux = Mux::new();
        for to in 0..calls {
            send(&mut mux, text, caller, to);
        }
        let reached =
            matches!(line(&mut mux, log).0, Output::Between { to: 0, message } if message == log.as_bytes());
        assert_eq!(reached, reaches, "{text} {caller:?} {calls}");
    }
}

#[test]
fn a_subscription_keeps_its_clients_id() {
    let mut mux = Mux::new();
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
    let mut mux = Mux::new();
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
    let mut mux = Mux::new();
    send(&mut mux, r#"{"jsonrpc":"2.0","id":1,"method":"x"}"#, MODERN, 1);
    let (output, _) = line(&mut mux, r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"m"}}"#);
    assert!(matches!(output, Output::Answer { code: Some(-32601), .. }));
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
        let mut mux = Mux::new();
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
        let mut mux: Mux<u32> = Mux::new();
        let mut out = Vec::new();
        let reached = matches!(mux.line(&bytes, &mut out), Output::Answer { .. } | Output::Between { .. });
        prop_assert!(!reached);
    }
}
