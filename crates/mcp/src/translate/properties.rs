//! Translation as properties: a generated message keeps every member that does not have to change, in its order and as
//! it was written, and a second translation changes nothing more. What is compared was read by another parser.

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::envelope::scan;

#[path = "../../tests/it/generate.rs"]
#[expect(dead_code, reason = "the tests of the public interface use the rest")]
mod generate;
#[path = "../../tests/it/invariants/json.rs"]
#[expect(dead_code, reason = "the tests of the public interface use the rest")]
mod json;

use generate::{Member, Message, Sort};

/// What stands for a value that is looked at on its own.
const ELSEWHERE: &str = "…";
const INFO: &str = r#"{"name":"s"}"#;

/// A message as another parser sees it.
#[derive(Debug, Clone, PartialEq)]
struct Parts {
    envelope: Vec<Member>,
    /// The members of `params`, `result` or `error`.
    body: Option<Vec<Member>>,
    meta: Option<Vec<Member>>,
}

impl Parts {
    fn of(text: &str) -> Self {
        let mut envelope = members(&json::flattened(text));
        let mut body = take(&mut envelope, &["params", "result", "error"]);
        let meta = body.as_mut().and_then(|body| take(body, &["_meta"]));
        Self { envelope, body, meta }
    }

    /// With members before those of the body.
    fn before_body(&mut self, members: &[(&str, &str)]) {
        let body = self.body.get_or_insert_default();
        body.splice(0..0, members.iter().map(|(key, value)| (format!("\"{key}\""), (*value).to_owned())));
    }
}

fn members(object: &str) -> Vec<Member> {
    json::members(object).into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn take(from: &mut [Member], names: &[&str]) -> Option<Vec<Member>> {
    let (_, value) = from.iter_mut().find(|(key, _)| names.iter().any(|name| is(key, name)))?;
    Some(members(&std::mem::replace(value, ELSEWHERE.to_owned())))
}

fn is(key: &str, name: &str) -> bool {
    json::decoded(key).is_some_and(|key| key == name)
}

fn is_own(key: &str) -> bool {
    json::decoded(key).is_some_and(|key| key.starts_with(META_PREFIX))
}

/// Messages whose `_meta` also has keys of the specification's own, anywhere in it, each at most once.
fn with_own_keys(sort: Sort) -> impl Strategy<Value = Message> {
    let names =
        ["clientInfo", "clientCapabilities", "logLevel", "related-task", "serverInfo", "subscriptionId"];
    let names = prop::sample::subsequence(names.to_vec(), 0..=3).prop_shuffle();
    let own = names.prop_flat_map(|names| {
        names
            .into_iter()
            .map(|name| (Just(name), generate::value(), any::<prop::sample::Index>()))
            .collect::<Vec<_>>()
    });
    (generate::message(sort), own).prop_map(|(mut message, own)| {
        for (name, value, at) in own {
            let meta = message.meta.get_or_insert_default();
            meta.insert(at.index(meta.len() + 1), (format!("\"{META_PREFIX}{name}\""), value));
        }
        message
    })
}

fn spliced(text: &str, edit: impl for<'a> Fn(&Envelope<'_>, &'a mut Vec<u8>, &mut Edits<'a>)) -> String {
    let envelope = scan(text.as_bytes()).expect("a message");
    let (mut buffer, mut edits, mut out) = (Vec::new(), Vec::new(), Vec::new());
    edit(&envelope, &mut buffer, &mut edits);
    envelope.splice(&mut edits, &mut out);
    scan(&out).expect("a translated message is one");
    String::from_utf8(out).expect("UTF-8")
}

fn stripped(text: &str) -> String {
    spliced(text, |message, _, edits| strip_meta(message, edits))
}

fn put(text: &str, members: &str) -> String {
    spliced(text, |message, buffer, edits| put_meta(message, members, buffer, edits))
}

fn modern(text: &str, id: &str, cacheable: bool) -> (String, Option<i64>) {
    let mut out = Vec::new();
    let code = to_modern(&scan(text.as_bytes()).expect("a message"), id, cacheable, INFO, &mut out);
    scan(&out).expect("a translated message is one");
    (String::from_utf8(out).expect("UTF-8"), code)
}

fn legacy(text: &str, id: &str) -> String {
    let mut out = Vec::new();
    to_legacy(&scan(text.as_bytes()).expect("a message"), id, &mut out);
    scan(&out).expect("a translated message is one");
    String::from_utf8(out).expect("UTF-8")
}

fn with_id(parts: &mut Parts, id: &str) {
    parts.envelope.iter_mut().filter(|(key, _)| key == "\"id\"").for_each(|(_, value)| id.clone_into(value));
}

fn requests() -> impl Strategy<Value = Message> {
    select(vec![Sort::Request, Sort::Notification]).prop_flat_map(with_own_keys)
}

fn answers() -> impl Strategy<Value = Message> {
    let code = prop_oneof![
        select(vec!["-32002", "-32042", "-32602", "\"x\"", "-3.2002e4"]).prop_map(str::to_owned),
        generate::number(),
    ];
    let errors = (generate::message(Sort::Error), code).prop_map(|(mut message, code)| {
        let codes = message.body.iter_mut().flatten().filter(|(key, _)| key == "\"code\"");
        codes.for_each(|(_, value)| value.clone_from(&code));
        message
    });
    let kinds = select(vec![r#""complete""#, r#""input_required""#, r#""task""#, r#""\u0063omplete""#, "7"]);
    let results = (with_own_keys(Sort::Result), kinds).prop_map(|(mut message, kind)| {
        let kinds = message.body.iter_mut().flatten().filter(|(key, _)| key == "\"resultType\"");
        kinds.for_each(|(_, value)| kind.clone_into(value));
        message
    });
    prop_oneof![3 => results, 1 => errors]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn stripping_takes_the_specifications_own_keys_and_nothing_else(message in requests()) {
        let text = message.text();
        let once = stripped(&text);
        let mut expected = Parts::of(&text);
        expected.meta.iter_mut().for_each(|meta| meta.retain(|(key, _)| !is_own(key)));
        prop_assert_eq!(Parts::of(&once), expected);
        prop_assert_eq!(stripped(&once), once);
    }

    #[test]
    fn putting_adds_what_makes_a_message_modern_and_keeps_the_rest(message in requests(), is_logging: bool) {
        let text = message.text();
        let added = modern_meta(INFO, "{}", is_logging.then_some("info"));
        let once = put(&text, &added);

        let added = members(&format!("{{{added}}}"));
        let mut expected = Parts::of(&text);
        if expected.body.is_none() {
            let after = expected.envelope.iter().position(|(key, _)| key == "\"method\"").map_or(0, |at| at + 1);
            expected.envelope.insert(after, ("\"params\"".to_owned(), ELSEWHERE.to_owned()));
        }
        if expected.meta.is_none() {
            expected.before_body(&[("_meta", ELSEWHERE)]);
        }
        let meta = expected.meta.get_or_insert_default();
        meta.retain(|(key, _)| added.iter().all(|(put, _)| put != key));
        meta.splice(0..0, added);
        prop_assert_eq!(Parts::of(&once), expected.clone());
        prop_assert_eq!(Parts::of(&put(&once, &modern_meta(INFO, "{}", is_logging.then_some("info")))), expected);

        let there_and_back = Parts::of(&stripped(&once));
        prop_assert_eq!(there_and_back.meta, Parts::of(&stripped(&text)).meta.or(Some(Vec::new())));
    }

    #[test]
    fn an_answer_gains_what_a_modern_client_needs_and_keeps_the_rest(message in answers(), cacheable: bool) {
        let text = message.text();
        let (once, code) = modern(&text, "\"its\"", cacheable);
        let mut expected = Parts::of(&text);
        with_id(&mut expected, "\"its\"");
        let of_body = |name: &str| {
            let mut found = expected.body.iter().flatten().filter(|(key, _)| is(key, name));
            found.next().map(|(_, value)| value.clone())
        };
        if message.sort == Sort::Error {
            let theirs = of_body("code").and_then(|code| code.parse::<i64>().ok());
            let ours = match theirs {
                Some(-32002) => Some(-32602),
                Some(-32042) => Some(-32603),
                other => other,
            };
            prop_assert_eq!(code, ours);
            if ours != theirs {
                let codes = expected.body.iter_mut().flatten().filter(|(key, _)| is(key, "code"));
                codes.for_each(|(_, value)| *value = ours.map(|code| code.to_string()).unwrap_or_default());
            }
        } else {
            let mut added = Vec::new();
            for (key, value, is_due) in [
                ("resultType", "\"complete\"", true),
                ("ttlMs", "0", cacheable),
                ("cacheScope", "\"private\"", cacheable),
                ("_meta", ELSEWHERE, true),
            ] {
                if is_due && of_body(key).is_none() {
                    added.push((key, value));
                }
            }
            expected.before_body(&added);
            let meta = expected.meta.get_or_insert_default();
            let info = format!("\"{META_PREFIX}serverInfo\"");
            if meta.iter().all(|(key, _)| *key != info) {
                meta.insert(0, (info, INFO.to_owned()));
            }
            prop_assert_eq!(code, None);
        }
        prop_assert_eq!(Parts::of(&once), expected);
        prop_assert_eq!(modern(&once, "\"its\"", cacheable), (once, code));
    }

    #[test]
    fn an_answer_loses_what_a_legacy_client_does_not_know_and_keeps_the_rest(message in answers()) {
        let text = message.text();
        let once = legacy(&text, "7");
        let mut expected = Parts::of(&text);
        with_id(&mut expected, "7");
        if let (Sort::Result, Some(body)) = (message.sort, &mut expected.body) {
            let is_a = |what: &str, (key, value): &Member| is(key, "resultType") && is(value, what);
            if body.iter().any(|member| is_a("input_required", member)) {
                let error = scan(once.as_bytes()).expect("a message");
                prop_assert_eq!((error.raw_id(), error.error.is_some()), (Some("7"), true));
                return Ok(());
            }
            body.retain(|member| {
                !is_a("complete", member) && !is(&member.0, "ttlMs") && !is(&member.0, "cacheScope")
            });
        }
        prop_assert_eq!(Parts::of(&once), expected);
        prop_assert_eq!(legacy(&once, "7"), once);
    }

    #[test]
    fn members_are_taken_out_and_found_by_key(
        members in generate::members(),
        other in generate::members(),
        spaces in generate::spaces(),
    ) {
        let all: Vec<Member> = members.iter().cloned().chain(other).collect();
        let object = generate::object(&all, &spaces);
        // A key that names no text is taken for an empty one, which nobody looks for.
        for (key, _) in all.iter().filter(|(key, _)| json::decoded(key).is_some_and(|key| !key.is_empty())) {
            let name = json::decoded(key).unwrap_or_default();
            let kept: Vec<Member> = all.iter().filter(|(key, _)| !is(key, &name)).cloned().collect();
            let rest = without(&object, &name);
            prop_assert!(json::is_json(&rest));
            prop_assert_eq!(self::members(&rest), kept);
            let last = all.iter().rfind(|(key, _)| is(key, &name)).map(|(_, value)| value.as_str());
            prop_assert_eq!(member(&object, &name), last);
            prop_assert_eq!(member(&rest, &name), None);
        }
    }
}
