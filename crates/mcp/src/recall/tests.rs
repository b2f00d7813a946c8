use super::*;
use crate::client::Capabilities;
use crate::envelope;
use crate::opening::{Opening, Plan, Reply};
use crate::rule::Rule;
use crate::session::SessionId;

fn caller(era: Era, principal: u8) -> Caller {
    let session = (era == Era::Legacy).then(|| SessionId::of_random([principal; 16]));
    Caller {
        era,
        principal: [principal; 16],
        session,
        hello: None,
        can: Capabilities::of_bits(0),
        name: None,
        takes_requests: true,
        rule: None,
    }
}

fn opened(speaks: Speaks) -> Arc<Opened> {
    let plan =
        Plan { modern_first: speaks == Speaks::Modern, serves_both: speaks == Speaks::Both, hello: None };
    let line = match speaks {
        Speaks::Modern => {
            r#"{"jsonrpc":"2.0","id":-1,"result":{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}}}}"#
        }
        _ => {
            r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"s"}}}"#
        }
    };
    match Opening::begin("1", plan).0.line(line.as_bytes()) {
        Reply::Opened(opened) => Arc::from(opened),
        other => panic!("{other:?}"),
    }
}

/// A server that a caller asks something, through a multiplexer; what is learned, and what the caller was answered.
fn ask(recall: &mut Recall, request: &str, result: &str, caller: &Caller) -> String {
    let mut mux = mux(recall);
    let message = envelope::scan(request.as_bytes()).unwrap();
    let mut out = Vec::new();
    let begun = mux.request(&message, message.id.unwrap(), caller.clone(), (), Duration::ZERO, &mut out);
    assert!(matches!(begun, Begun::Forwarded(_)), "{begun:?}");
    let line = format!(r#"{{ {result},"jsonrpc":"2.0","x":1.0,"id":1}}"#);
    let output = mux.line(line.as_bytes(), None, Duration::ZERO, &mut out);
    mux.learned().into_iter().for_each(|learned| recall.learn(learned));
    match output {
        Output::Answer { message, .. } => String::from_utf8(message).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn mux(recall: &Recall) -> Mux<()> {
    let mut mux = Mux::new(&Setup {
        instance_key: "k",
        random: [0; crate::park::RANDOM],
        first_question: 0,
        is_private: false,
        owners_are_known: true,
    });
    mux.set_recalls();
    mux.expect(recall.opened().backend.clone());
    mux
}

fn answer(recall: &Recall, request: &str, caller: &Caller) -> Option<String> {
    let message = envelope::scan(request.as_bytes()).unwrap();
    let answer = recall.answer(&message, message.id.unwrap(), caller.clone())?;
    Some(String::from_utf8(answer).unwrap())
}

fn request(era: Era, method: &str) -> String {
    let meta = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;
    let params = if era == Era::Modern { format!(r#","params":{{{meta}}}"#) } else { String::new() };
    format!(r#"{{"jsonrpc":"2.0","id":"q","method":"{method}"{params}}}"#)
}

const RESULT: &str = r#""result":{"tools":[{"name":"a","x":1.0},{"name":"b"}],"big":18446744073709551616}"#;

#[test]
fn the_answer_is_what_the_server_would_have_been_heard_to_say() {
    for speaks in [Speaks::Legacy, Speaks::Both, Speaks::Modern] {
        for era in [Era::Legacy, Era::Modern] {
            for method in ["tools/list", "prompts/list", "resources/list", "resources/templates/list"] {
                let mut recall = Recall::new(opened(speaks));
                let (request, caller) = (request(era, method), caller(era, 1));
                assert_eq!(answer(&recall, &request, &caller), None, "nothing was said");
                let awake = ask(&mut recall, &request, RESULT, &caller);
                assert_eq!(answer(&recall, &request, &caller), Some(awake), "{speaks:?} {era:?} {method}");
            }
        }
    }
}

#[test]
fn what_is_no_answer_to_a_question_is_not_kept() {
    let paged = r#"{"jsonrpc":"2.0","id":"q","method":"tools/list","params":{"cursor":"x"}}"#;
    let null = r#"{"jsonrpc":"2.0","id":"q","method":"tools/list","params":{"cursor":null}}"#;
    let list = request(Era::Legacy, "tools/list");
    for (asked, result, again, is_kept) in [
        (list.as_str(), RESULT, list.as_str(), true),
        (null, RESULT, list.as_str(), true),
        (&list, r#""result":{"tools":[],"nextCursor":null}"#, &list, true),
        (&list, r#""result":{"tools":[],"nextCursor":"x"}"#, &list, false),
        (&list, r#""error":{"code":-1,"message":"no"}"#, &list, false),
        (paged, RESULT, &list, false),
        (paged, RESULT, paged, false),
        (&list, RESULT, paged, false),
        (&request(Era::Legacy, "tools/call"), RESULT, &request(Era::Legacy, "tools/call"), false),
        (&request(Era::Legacy, "resources/read"), RESULT, &request(Era::Legacy, "resources/read"), false),
    ] {
        let mut recall = Recall::new(opened(Speaks::Legacy));
        ask(&mut recall, asked, result, &caller(Era::Legacy, 1));
        let answered = answer(&recall, again, &caller(Era::Legacy, 1)).is_some();
        assert_eq!(answered, is_kept, "{asked} {result}");
    }
}

#[test]
fn lists_are_forgotten_when_they_change() {
    for (change, gone) in [
        ("tools", &["tools/list"][..]),
        ("prompts", &["prompts/list"]),
        ("resources", &["resources/list", "resources/templates/list"]),
    ] {
        let mut recall = Recall::new(opened(Speaks::Legacy));
        let all = ["tools/list", "prompts/list", "resources/list", "resources/templates/list"];
        for method in all {
            ask(&mut recall, &request(Era::Legacy, method), RESULT, &caller(Era::Legacy, 1));
        }
        let mut mux = mux(&recall);
        let line = format!(r#"{{"jsonrpc":"2.0","method":"notifications/{change}/list_changed"}}"#);
        mux.line(line.as_bytes(), None, Duration::ZERO, &mut Vec::new());
        mux.learned().into_iter().for_each(|learned| recall.learn(learned));
        for method in all {
            let is_there = answer(&recall, &request(Era::Legacy, method), &caller(Era::Legacy, 1)).is_some();
            assert_eq!(is_there, !gone.contains(&method), "{change} {method}");
        }
    }
}

#[test]
fn a_list_that_was_asked_for_before_a_change_is_not_kept() {
    let recall = Recall::new(opened(Speaks::Legacy));
    let mut mux = mux(&recall);
    let text = request(Era::Legacy, "tools/list");
    let message = envelope::scan(text.as_bytes()).unwrap();
    let (id, mut out) = (message.id.unwrap(), Vec::new());
    mux.request(&message, id, caller(Era::Legacy, 1), (), Duration::ZERO, &mut out);
    for line in [
        r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[]}}"#,
    ] {
        mux.line(line.as_bytes(), None, Duration::ZERO, &mut out);
    }
    assert_eq!(mux.learned(), [Learned::Changed(&[Question::Tools])]);
}

#[test]
fn a_list_that_changes_is_asked_for_again() {
    for (speaks, asked) in [(Speaks::Legacy, true), (Speaks::Modern, true), (Speaks::Both, false)] {
        let mut recall = Recall::new(opened(speaks));
        let mut mux = mux(&recall);
        let text = request(Era::Legacy, "tools/list");
        let message = envelope::scan(text.as_bytes()).unwrap();
        let (id, mut out) = (message.id.unwrap(), Vec::new());
        mux.request(&message, id, caller(Era::Legacy, 1), (), Duration::ZERO, &mut out);
        let mut hear = |line: &str| {
            let mut out = Vec::new();
            mux.line(line.as_bytes(), None, Duration::ZERO, &mut out);
            mux.learned().into_iter().for_each(|learned| recall.learn(learned));
            let kept = answer(&recall, &text, &caller(Era::Legacy, 1));
            (String::from_utf8(out).unwrap(), kept.is_some_and(|kept| kept.contains("new")))
        };
        let tools = |id: u8, name: &str| {
            format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"tools":[{{"name":"{name}"}}]}}}}"#)
        };
        let changed = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
        let other = r#"{"jsonrpc":"2.0","method":"notifications/prompts/list_changed"}"#;
        hear(&tools(1, "old"));
        assert_eq!(hear(other).0, "", "nobody has asked for prompts");
        let (again, _) = hear(changed);
        assert_eq!(again.contains(r#""id":2,"method":"tools/list""#), asked, "{speaks:?}: {again}");
        if !asked {
            continue;
        }
        // Many changes are asked for once, and once more when the answer may be from before the last.
        assert_eq!([hear(changed).0, hear(changed).0], ["", ""]);
        let (again, is_kept) = hear(&tools(2, "new"));
        assert!(again.contains(r#""id":3,"method":"tools/list""#) && !is_kept, "{speaks:?}: {again}");
        assert_eq!(hear(&tools(3, "new")), (String::new(), true), "{speaks:?}");
    }
}

#[test]
fn what_is_private_is_told_to_nobody_else() {
    for (scope, is_told) in [("private", false), ("public", true)] {
        let mut recall = Recall::new(opened(Speaks::Modern));
        let list = request(Era::Modern, "tools/list");
        let result = format!(r#""result":{{"resultType":"complete","tools":[],"cacheScope":"{scope}"}}"#);
        ask(&mut recall, &list, &result, &caller(Era::Modern, 1));
        assert!(answer(&recall, &list, &caller(Era::Modern, 1)).is_some());
        assert_eq!(answer(&recall, &list, &caller(Era::Modern, 2)).is_some(), is_told, "{scope}");
    }
}

#[test]
fn of_a_server_of_both_eras_each_era_has_its_own_answer() {
    let mut recall = Recall::new(opened(Speaks::Both));
    ask(&mut recall, &request(Era::Modern, "tools/list"), RESULT, &caller(Era::Modern, 1));
    assert_eq!(answer(&recall, &request(Era::Legacy, "tools/list"), &caller(Era::Legacy, 1)), None);
}

#[test]
fn a_rule_is_applied_to_what_is_kept() {
    let mut recall = Recall::new(opened(Speaks::Legacy));
    let list = request(Era::Legacy, "tools/list");
    let rule = Rule::parse(br#"{"tools":{"deny":["a"]}}"#).unwrap();
    let ruled = Caller { rule: Some(Arc::new(rule)), ..caller(Era::Legacy, 1) };
    // What one caller must not see is kept for the others all the same.
    ask(&mut recall, &list, RESULT, &ruled);
    let all = answer(&recall, &list, &caller(Era::Legacy, 1)).unwrap();
    let some = answer(&recall, &list, &ruled).unwrap();
    assert!(all.contains(r#"{"name":"a","x":1.0}"#) && !some.contains(r#""name":"a""#), "{all} {some}");
}

#[test]
fn another_server_in_its_place_is_asked_anew() {
    let list = request(Era::Legacy, "tools/list");
    for (again, is_kept) in [(Speaks::Legacy, true), (Speaks::Modern, false)] {
        let mut recall = Recall::new(opened(Speaks::Legacy));
        ask(&mut recall, &list, RESULT, &caller(Era::Legacy, 1));
        recall.reopened(opened(again));
        assert_eq!(answer(&recall, &list, &caller(Era::Legacy, 1)).is_some(), is_kept);
    }
}

#[test]
fn pings_are_answered_and_calls_are_not() {
    for speaks in [Speaks::Legacy, Speaks::Modern] {
        let recall = Recall::new(opened(speaks));
        let answered = r#"{"jsonrpc":"2.0","id":"q","result":{}}"#;
        let ping = request(Era::Legacy, "ping");
        assert_eq!(answer(&recall, &ping, &caller(Era::Legacy, 1)).as_deref(), Some(answered), "{speaks:?}");
        assert_eq!(answer(&recall, &request(Era::Legacy, "tools/call"), &caller(Era::Legacy, 1)), None);
    }
}
