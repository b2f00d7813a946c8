//! What servers ask in mid-call, in each pair of eras; whom it reaches, and that it reaches nobody else.

use super::*;

const CALL: &str =
    r#"{"jsonrpc":"2.0","id":"c","method":"tools/call","params":{"name":"t","arguments":{"a":1}}}"#;
const ASK: &str =
    r#"{"jsonrpc":"2.0","id":"q","method":"elicitation/create","params":{"message":"m","n":1e40}}"#;
const ANSWER: &str = r#"{"action":"accept","content":{"name":"Ada"}}"#;

/// A server that was told of a client that can be asked everything.
fn asking(speaks: Speaks) -> Mux<u32> {
    let mut mux = unopened();
    let client = r#"{"name":"berth"}"#.into();
    let can = Capabilities::of_bits(0xff);
    let backend = Backend { speaks, client, declares: true, can, ..Backend::default() };
    mux.open(backend, &mut Vec::new());
    mux
}

fn able(caller: Caller) -> Caller {
    Caller { can: Capabilities::of_bits(0xff), ..caller }
}

fn more(mux: &mut Mux<u32>) -> Vec<Output<u32>> {
    std::iter::from_fn(|| mux.more()).filter(|output| *output != Output::Nobody).collect()
}

fn tick(mux: &mut Mux<u32>, now: Duration) -> (Vec<Output<u32>>, String) {
    let mut out = Vec::new();
    mux.tick(now, &mut out);
    (more(mux), String::from_utf8(out).unwrap())
}

/// What a client says to a question; whether it was asked, and what the server gets.
fn reply(mux: &mut Mux<u32>, id: u64, body: &str, caller: &Caller) -> (bool, String) {
    let text = format!(r#"{{"jsonrpc":"2.0","id":{id},{body}}}"#);
    let mut out = Vec::new();
    let asked = mux.client_answer(&envelope::scan(text.as_bytes()).unwrap(), caller, &mut out);
    (asked, String::from_utf8(out).unwrap())
}

fn parked(output: &Output<u32>) -> serde_json::Value {
    let Output::Answer { message, .. } = output else { panic!("{output:?}") };
    let answer: serde_json::Value = serde_json::from_slice(message).unwrap();
    assert_eq!(answer["result"]["resultType"], "input_required", "{answer}");
    answer["result"].clone()
}

/// The call again, with the state and answers to everything that was asked.
fn again(asked: &serde_json::Value) -> String {
    let responses: Vec<String> =
        asked["inputRequests"].as_object().unwrap().keys().map(|key| format!("\"{key}\":{ANSWER}")).collect();
    CALL.replace(r#""id":"c""#, r#""id":"d""#).replace(
        r#""name":"t""#,
        &format!(
            r#""name":"t","requestState":{},"inputResponses":{{{}}}"#,
            asked["requestState"],
            responses.join(",")
        ),
    )
}

fn request(mux: &mut Mux<u32>, text: &str, caller: Caller, to: u32, now: Duration) -> (Begun, String) {
    let message = envelope::scan(text.as_bytes()).unwrap();
    let mut out = Vec::new();
    let begun = mux.request(&message, message.id.unwrap(), caller, to, now, &mut out);
    (begun, String::from_utf8(out).unwrap())
}

fn refusal(begun: Begun) -> String {
    let Begun::Answered(answer) = begun else { panic!("{begun:?}") };
    let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answer["error"]["code"], -32602, "{answer}");
    answer["error"]["message"].as_str().unwrap().to_owned()
}

#[test]
fn a_legacy_client_is_sent_the_question_under_a_number_of_ours() {
    let mut mux = asking(Speaks::Legacy);
    send(&mut mux, CALL, able(session(1)), 5);
    let (output, sent) = line(&mut mux, ASK);
    let asked = ASK.replace(r#""id":"q""#, r#""id":1000"#);
    assert_eq!((output, sent.as_str()), (Output::Between { to: 5, message: asked.into() }, ""));
    for stranger in [session(2), LEGACY, MODERN] {
        assert_eq!(
            reply(&mut mux, 1000, r#""result":{}"#, &stranger),
            (false, String::new()),
            "{stranger:?}"
        );
    }
    let (asked, sent) = reply(&mut mux, 1000, &format!(r#""result":{ANSWER}"#), &session(1));
    assert!(asked);
    assert_eq!(sent, format!("{{\"jsonrpc\":\"2.0\",\"id\":\"q\",\"result\":{ANSWER}}}\n"));
    assert_eq!(reply(&mut mux, 1000, r#""result":{}"#, &session(1)), (false, String::new()), "once");
    let done = line(&mut mux, r#"{"jsonrpc":"2.0","id":1,"result":{}}"#).0;
    assert_eq!(done, answer(5, r#"{"jsonrpc":"2.0","id":"c","result":{}}"#));
}

#[test]
fn a_modern_client_calls_again_with_the_answers() {
    let mut mux = asking(Speaks::Legacy);
    send(&mut mux, CALL, able(MODERN), 5);
    assert_eq!(line(&mut mux, ASK), (Output::Nobody, String::new()));
    let second = r#"{"jsonrpc":"2.0","id":7,"method":"roots/list"}"#;
    assert_eq!(line(&mut mux, second), (Output::Nobody, String::new()));
    assert_eq!(mux.due(), Some(Duration::from_millis(10)), "those that come at once are joined");
    assert_eq!(tick(&mut mux, Duration::from_millis(9)).0, []);
    let (outputs, sent) = tick(&mut mux, Duration::from_millis(10));
    assert_eq!((outputs.len(), sent.as_str()), (1, ""));
    let asked = parked(&outputs[0]);
    let requests = asked["inputRequests"].as_object().unwrap();
    assert_eq!(requests["elicitation"]["method"], "elicitation/create");
    assert_eq!(requests["elicitation"]["params"]["message"], "m");
    assert_eq!(requests["roots-1-2"], serde_json::json!({"method": "roots/list"}));
    assert_eq!(mux.in_flight(), 1, "the call is parked");

    // Those who may not, or do not send the same, get nothing of it.
    let text = again(&asked);
    for (text, caller, why) in [
        (text.clone(), Caller { principal: [1; 16], ..able(MODERN) }, "is not one"),
        (text.replace(r#""a":1"#, r#""a":2"#), able(MODERN), "another request"),
        (text.replace("tools/call", "prompts/get"), able(MODERN), "another request"),
        (text.replacen(r#""requestState":""#, r#""requestState":"x"#, 1), able(MODERN), "is not one"),
    ] {
        let (begun, sent) = request(&mut mux, &text, caller, 6, NOW);
        assert!(refusal(begun).contains(why), "{text}");
        assert_eq!(sent, "");
    }
    // One that leaves something out is asked for the rest.
    let part = text.replacen(r#""roots-1-2""#, r#""else""#, 1);
    assert!(matches!(request(&mut mux, &part, able(MODERN), 7, NOW).0, Begun::Forwarded(_)));
    let (outputs, _) = tick(&mut mux, Duration::from_millis(20));
    let rest = parked(&outputs[0]);
    assert_eq!(rest["inputRequests"].as_object().unwrap().keys().collect::<Vec<_>>(), ["roots-1-2"]);

    let (begun, sent) = request(&mut mux, &again(&rest), able(MODERN), 8, NOW);
    assert!(matches!(begun, Begun::Forwarded(_)));
    let reply = |id: &str| format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{ANSWER}}}\n");
    assert_eq!(sent, reply("\"q\"") + &reply("7"));
    let (begun, _) = request(&mut mux, &text, able(MODERN), 9, NOW);
    assert!(refusal(begun).contains("has ended"), "nothing is answered twice");
    let done = line(&mut mux, r#"{"jsonrpc":"2.0","id":1,"result":{}}"#).0;
    let expected = r#"{"jsonrpc":"2.0","id":"d","result":{"resultType":"complete"}}"#;
    assert_eq!(done, Output::Answer { to: 8, message: expected.into(), code: None });
}

#[test]
fn a_client_that_does_not_call_again_has_cancelled() {
    let mut mux = asking(Speaks::Legacy);
    send(&mut mux, CALL, able(MODERN), 5);
    line(&mut mux, ASK);
    let (outputs, _) = tick(&mut mux, Duration::from_millis(10));
    let text = again(&parked(&outputs[0]));
    let (outputs, sent) = tick(&mut mux, Duration::from_secs(301));
    assert_eq!(outputs, []);
    let sent: Vec<&str> = sent.lines().collect();
    assert!(sent[0].starts_with(r#"{"jsonrpc":"2.0","id":"q","error""#), "{sent:?}");
    assert!(sent[1].contains("notifications/cancelled"), "{sent:?}");
    assert_eq!((mux.in_flight(), mux.due()), (0, None));
    let (begun, _) = request(&mut mux, &text, able(MODERN), 6, Duration::from_secs(301));
    assert!(refusal(begun).contains("past its time"));
}

#[test]
fn an_answer_that_did_not_wait_is_kept_for_its_client() {
    let mut mux = asking(Speaks::Legacy);
    send(&mut mux, CALL, able(MODERN), 5);
    line(&mut mux, ASK);
    let (outputs, _) = tick(&mut mux, Duration::from_millis(10));
    let text = again(&parked(&outputs[0]));
    assert_eq!(line(&mut mux, r#"{"jsonrpc":"2.0","id":1,"result":{"x":1}}"#).0, Output::Nobody);
    let (begun, _) = request(&mut mux, &text, able(MODERN), 6, NOW);
    let expected = r#"{"jsonrpc":"2.0","id":"d","result":{"resultType":"complete","x":1}}"#;
    assert_eq!(begun, Begun::Answered(expected.into()));
    assert_eq!(mux.in_flight(), 0);
}

#[test]
fn what_a_client_cannot_is_refused_in_its_era() {
    for (caller, speaks_to_client) in [(MODERN, true), (session(1), false)] {
        let mut mux = asking(Speaks::Legacy);
        send(&mut mux, CALL, caller, 5);
        let (output, sent) = line(&mut mux, ASK);
        assert!(sent.starts_with(r#"{"jsonrpc":"2.0","id":"q","error":{"code":-32601"#), "{sent}");
        if speaks_to_client {
            let Output::Answer { to: 5, message, code: Some(-32021) } = output else { panic!("{output:?}") };
            let error = String::from_utf8(message).unwrap();
            assert!(
                error.contains(r#""data":{"requiredCapabilities":{"elicitation":{"form":{}}}}"#),
                "{error}"
            );
            assert!(sent.contains("notifications/cancelled"), "{sent}");
        } else {
            assert_eq!(output, Output::Nobody);
        }
    }
    // A client that takes no stream cannot be asked, nor can anybody of a shared process.
    let mut mux = asking(Speaks::Legacy);
    send(&mut mux, CALL, Caller { takes_requests: false, ..able(session(1)) }, 5);
    assert!(line(&mut mux, ASK).1.contains("takes no requests"));
    let (mut mux, _) = opened(Speaks::Legacy, "{}");
    send(&mut mux, CALL, able(session(1)), 5);
    assert!(line(&mut mux, ASK).1.contains("shared"));
    assert!(!mux.asks());
}

#[test]
fn a_question_waits_until_it_is_certain_whose_it_is() {
    let mut mux = asking(Speaks::Legacy);
    let other = Caller { principal: [2; 16], ..able(MODERN) };
    assert!(mux.admits(&other));
    send(&mut mux, CALL, able(MODERN), 1);
    send(&mut mux, CALL, other.clone(), 2);
    assert_eq!(line(&mut mux, ASK), (Output::Nobody, String::new()));
    assert!(mux.asks() && !mux.admits(&other), "from now on one at a time");
    line(&mut mux, r#"{"jsonrpc":"2.0","id":1,"result":{}}"#);
    let (outputs, _) = tick(&mut mux, Duration::from_millis(10));
    assert!(matches!(outputs[..], [Output::Answer { to: 2, .. }]), "{outputs:?}");
    parked(&outputs[0]);

    // Of two that never answer it is nobody's.
    let mut mux = asking(Speaks::Legacy);
    send(&mut mux, CALL, able(MODERN), 1);
    send(&mut mux, CALL, other, 2);
    line(&mut mux, ASK);
    let (outputs, sent) = tick(&mut mux, Duration::from_secs(10));
    assert_eq!(outputs, []);
    assert!(sent.starts_with(r#"{"jsonrpc":"2.0","id":"q","error""#), "{sent}");
    // The calls of one session are one client's.
    let mut mux = asking(Speaks::Legacy);
    send(&mut mux, CALL, able(session(1)), 1);
    send(&mut mux, CALL, able(session(1)), 2);
    assert!(matches!(line(&mut mux, ASK).0, Output::Between { to: 2, .. }));
    assert!(mux.admits(&session(1)) && !mux.admits(&session(2)));
    // A transport that says where it belongs is believed.
    let mut out = Vec::new();
    let mut mux = asking(Speaks::Legacy);
    send(&mut mux, CALL, able(session(1)), 1);
    send(&mut mux, CALL, able(session(2)), 2);
    assert!(matches!(mux.line(ASK.as_bytes(), Some(1), NOW, &mut out), Output::Between { to: 1, .. }));
}

#[test]
fn a_question_of_no_call_goes_to_a_session_that_listens() {
    let mut mux = asking(Speaks::Legacy);
    let roots = r#"{"jsonrpc":"2.0","id":3,"method":"roots/list"}"#;
    assert_eq!(line(&mut mux, roots), (Output::Nobody, String::new()));
    let id = session(1).session.unwrap();
    mux.open_session(id, 9, NOW, &mut Vec::new()).unwrap();
    let asked = r#"{"jsonrpc":"2.0","id":1000,"method":"roots/list"}"#;
    assert_eq!(more(&mut mux), [Output::Between { to: 9, message: asked.into() }]);
    let (asked, sent) = reply(&mut mux, 1000, r#""result":{"roots":[]}"#, &session(1));
    assert_eq!((asked, sent.as_str()), (true, "{\"jsonrpc\":\"2.0\",\"id\":3,\"result\":{\"roots\":[]}}\n"));
    // Asked while the session listens; and it ends before it has answered.
    line(&mut mux, roots);
    assert_eq!(more(&mut mux).len(), 1);
    let mut out = Vec::new();
    mux.end_session(id, &mut out);
    assert!(String::from_utf8(out).unwrap().starts_with(r#"{"jsonrpc":"2.0","id":3,"error""#));
}

#[test]
fn a_modern_server_asks_a_legacy_client() {
    let mut mux = asking(Speaks::Modern);
    let hello = Arc::new(Hello::of_bits(crate::revision::Revision::V2025_06_18, Capabilities::of_bits(8)));
    let caller = Caller { hello: Some(hello), ..able(session(1)) };
    let (_, sent) = send(&mut mux, CALL, caller, 5);
    assert!(sent.contains(r#"clientCapabilities":{"elicitation":{"form":{}}}"#), "{sent}");
    let required = r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"input_required","inputRequests":{"k\n":{"method":"elicitation/create","params":{"message":"m"}},"r":{"params":{},"method":"roots/list"}},"requestState":"s\u0041"}}"#;
    let (output, _) = line(&mut mux, required);
    let Output::Many(asked) = output else { panic!("{output:?}") };
    assert_eq!(asked[0].0, 5);
    assert_eq!(
        String::from_utf8(asked[0].1.clone()).unwrap(),
        r#"{"jsonrpc":"2.0","id":1000,"method":"elicitation/create","params":{"message":"m"}}"#
    );
    assert_eq!(reply(&mut mux, 1001, r#""result":{"roots":[]}"#, &session(1)), (true, String::new()));
    let (_, sent_again) = reply(&mut mux, 1000, &format!(r#""result":{ANSWER}"#), &session(1));
    let expected = sent.replace(r#""id":1"#, r#""id":2"#).replacen(
        r#""params":{"#,
        &format!(
            r#""params":{{"inputResponses":{{"k\n":{ANSWER},"r":{{"roots":[]}}}},"requestState":"s\u0041","#
        ),
        1,
    );
    assert_eq!(sent_again, expected);
    assert_eq!(
        line(&mut mux, r#"{"jsonrpc":"2.0","id":1,"result":{}}"#).0,
        Output::Nobody,
        "that one is over"
    );
    let done = line(&mut mux, r#"{"jsonrpc":"2.0","id":2,"result":{"resultType":"complete","x":1}}"#).0;
    assert_eq!(done, answer(5, r#"{"jsonrpc":"2.0","id":"c","result":{"x":1}}"#));
    assert_eq!(mux.in_flight(), 0);
}

#[test]
fn a_legacy_client_that_refuses_ends_the_call() {
    let mut mux = asking(Speaks::Modern);
    send(&mut mux, CALL, able(session(1)), 5);
    let required = r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"input_required","inputRequests":{"k":{"method":"roots/list"}}}}"#;
    line(&mut mux, required);
    reply(&mut mux, 1000, r#""error":{"code":-1,"message":"no"}"#, &session(1));
    let error = r#"{"jsonrpc":"2.0","id":"c","error":{"code":-1,"message":"no"}}"#;
    assert_eq!(more(&mut mux), [answer(5, error)]);
    // And what it has not declared it is not asked.
    send(&mut mux, CALL, Caller { can: Capabilities::of_bits(1), ..session(1) }, 5);
    let (output, _) = line(&mut mux, &required.replace(r#""id":1"#, r#""id":2"#));
    let Output::Answer { message, .. } = output else { panic!("{output:?}") };
    assert!(String::from_utf8(message).unwrap().contains("roots"));
    assert_eq!(mux.in_flight(), 0);
}

#[test]
fn a_call_that_only_wants_to_be_sent_again_is_within_bounds() {
    let mut mux = asking(Speaks::Modern);
    send(&mut mux, CALL, able(session(1)), 5);
    for round in 1..=40_u64 {
        let state = format!(
            r#"{{"jsonrpc":"2.0","id":{round},"result":{{"resultType":"input_required","requestState":"s"}}}}"#
        );
        match line(&mut mux, &state) {
            (Output::Nobody, sent) => {
                assert!(sent.contains(&format!(r#""id":{}"#, round + 1)), "{round}: {sent}");
            }
            (Output::Answer { to: 5, .. }, _) => return assert_eq!(round, 33),
            other => panic!("{other:?}"),
        }
    }
    panic!("it goes on for ever");
}

#[test]
fn a_server_takes_its_question_back() {
    let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"q"}}"#;
    let mut mux = asking(Speaks::Legacy);
    send(&mut mux, CALL, able(session(1)), 5);
    line(&mut mux, ASK);
    let told = cancel.replace(r#""q""#, "1000");
    assert_eq!(line(&mut mux, cancel).0, Output::Between { to: 5, message: told.into() });
    assert!(!reply(&mut mux, 1000, r#""result":{}"#, &session(1)).0);

    let mut mux = asking(Speaks::Legacy);
    send(&mut mux, CALL, able(MODERN), 5);
    line(&mut mux, ASK);
    line(&mut mux, cancel);
    assert_eq!(tick(&mut mux, Duration::from_millis(10)).0, [], "there is nothing to ask any more");
}

#[test]
fn addresses_that_must_be_visited_first() {
    let error = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32042,"message":"m","data":{"elicitations":[{"mode":"url","url":"https://x","elicitationId":"e"}]}}}"#;
    let mut mux = asking(Speaks::Legacy);
    send(&mut mux, CALL, able(MODERN), 5);
    let asked = parked(&line(&mut mux, error).0);
    assert_eq!(asked["inputRequests"]["elicitation-1"]["params"]["url"], "https://x");
    // What the client calls again with is a new call to the server, which knows nothing of the old one.
    let again =
        CALL.replace(r#""name":"t""#, r#""inputResponses":{"elicitation-1":{"action":"accept"}},"name":"t""#);
    let (_, sent) = send(&mut mux, &again, able(MODERN), 6);
    assert_eq!(sent, CALL.replace(r#""id":"c""#, r#""id":2"#) + "\n");
    let (output, _) = line(&mut mux, &error.replace(r#""id":1"#, r#""id":2"#));
    assert!(matches!(output, Output::Answer { to: 6, code: None, .. }));
    let mut mux = asking(Speaks::Legacy);
    send(&mut mux, CALL, MODERN, 5);
    assert!(matches!(line(&mut mux, error).0, Output::Answer { code: Some(-32021), .. }));
}
