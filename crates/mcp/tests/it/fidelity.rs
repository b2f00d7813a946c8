//! Envelopes: a generated message survives byte for byte, and broken ones are refused when another parser refuses them.

use mcp::envelope::{self, EnvelopeError, Kind, Span};
use proptest::prelude::*;

use crate::generate::{self, Message, Sort};
use crate::invariants;
use crate::invariants::json::flattened;

/// Few enough to be quick, and the fuzz targets go on from here.
fn config() -> ProptestConfig {
    ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    /// The text with another id and token is what comes out when these are spliced in: nothing else has changed.
    #[test]
    fn a_splice_changes_id_and_token_and_nothing_else(message in generate::any_message(), digits in 0_u64..) {
        let text = message.text();
        invariants::envelope(text.as_bytes());
        let envelope = envelope::scan(text.as_bytes()).unwrap();
        let kind = match message.sort {
            Sort::Request => Kind::Request,
            Sort::Notification => Kind::Notification,
            Sort::Result | Sort::Error => Kind::Answer,
        };
        prop_assert_eq!(envelope.kind(), kind);
        prop_assert_eq!(envelope.raw_id(), (kind != Kind::Notification).then_some(message.id.as_str()));

        let digits = digits.to_string();
        let token = envelope.marks.meta_progress_token;
        let mut edits: Vec<(Span, &[u8])> =
            [token, envelope.id].into_iter().flatten().map(|span| (span, digits.as_bytes())).collect();
        let mut out = Vec::new();
        envelope.splice(&mut edits, &mut out);
        let token = message.token.as_ref().map(|_| digits.clone());
        let expected = Message { id: digits, token, ..message }.text();
        prop_assert_eq!(String::from_utf8(out).unwrap(), flattened(&expected));
    }

    /// One byte more, less or other, and the text may be a message or not: other parsers must agree.
    #[test]
    fn a_damaged_message_is_judged_as_others_judge_it(
        message in generate::any_message(),
        at in any::<prop::sample::Index>(),
        damage in prop_oneof![
            Just(&b""[..]),
            prop::sample::select(vec![
                &b"\""[..], b"\\", b"{", b"}", b"[", b"]", b",", b":", b"\n", b"\0", b"\x1f", b"\x7f", b"\xff", b"\xc3", b"0",
                b".", b"e", b"-", b"+", b"\\u12", b"\\u00gz", b"\\ud800", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"null", b"//", b"'", b"\x0c",
            ]),
        ],
        removed in 0..3_usize,
        is_cut in prop::bool::weighted(0.2),
    ) {
        let mut bytes = message.text().into_bytes();
        let at = at.index(bytes.len());
        let end = if is_cut { bytes.len() } else { bytes.len().min(at + removed) };
        bytes.splice(at..end, damage.iter().copied());
        invariants::envelope(&bytes);
    }

    /// Batches are taken apart where another parser takes them apart.
    #[test]
    fn a_batch_is_its_messages(messages in prop::collection::vec(generate::any_message(), 0..4), spaces in generate::spaces()) {
        let texts: Vec<String> = messages.iter().map(Message::text).collect();
        let space = spaces.concat();
        let batch = format!("{space}[{space}{}{space}]{space}", texts.join(&format!("{space},{space}")));
        let split = envelope::split_batch(batch.as_bytes()).unwrap();
        prop_assert!(split.into_iter().eq(texts.iter().map(String::as_bytes)));
        prop_assert_eq!(envelope::scan(batch.as_bytes()).unwrap_err(), EnvelopeError::Batch);
        invariants::envelope(batch.as_bytes());
    }
}

/// Two readers could each take another one, so no key that is acted upon may be there twice or in disguise.
#[test]
fn a_key_that_is_acted_upon_stands_once_and_plainly() {
    let meta = |key: &str| format!("io.modelcontextprotocol/{key}");
    let keys: [(&str, Vec<String>); 5] = [
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{HERE}}"#,
            [
                "_meta",
                "name",
                "uri",
                "taskId",
                "requestId",
                "progressToken",
                "level",
                "notifications",
                "protocolVersion",
            ]
            .map(str::to_owned)
            .into(),
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"result":{HERE}}"#,
            ["_meta", "resultType", "ttlMs", "cacheScope", "protocolVersion"].map(str::to_owned).into(),
        ),
        (r#"{"jsonrpc":"2.0","id":1,"error":{HERE}}"#, vec!["code".to_owned()]),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{HERE}}}"#,
            vec![
                "progressToken".to_owned(),
                meta("protocolVersion"),
                meta("clientCapabilities"),
                meta("logLevel"),
                meta("subscriptionId"),
                meta("serverInfo"),
            ],
        ),
        (r#"{HERE,"jsonrpc":"2.0"}"#, ["id", "method", "params"].map(str::to_owned).into()),
    ];
    for (message, keys) in keys {
        for key in keys {
            let (first, rest) = key.split_at(1);
            let disguised = format!("\\u{:04x}{rest}", first.as_bytes()[0]);
            let plain = format!("\"{key}\":\"1\"");
            let with = |members: &str| message.replace("HERE", members);
            let scanned = |text: &str| envelope::scan(text.as_bytes()).map(drop);
            let twice = scanned(&with(&format!("{plain},{plain}")));
            assert!(matches!(twice, Err(EnvelopeError::RepeatedKey { .. })), "{key} twice: {twice:?}");
            let disguised = scanned(&with(&format!("\"{disguised}\":\"1\"")));
            assert!(
                matches!(disguised, Err(EnvelopeError::EscapedKey { .. })),
                "{key} in disguise: {disguised:?}"
            );
        }
    }
}

#[test]
fn depth_is_taken_up_to_its_limit() {
    for (depth, is_taken) in [(1, true), (127, true), (128, false), (100_000, false)] {
        let params = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let text = format!(r#"{{"jsonrpc":"2.0","method":"x","params":{params}}}"#);
        let scanned = envelope::scan(text.as_bytes()).map(drop);
        assert_eq!(
            scanned,
            if is_taken { Ok(()) } else { Err(EnvelopeError::TooDeep) },
            "{depth} below the envelope"
        );
    }
}
