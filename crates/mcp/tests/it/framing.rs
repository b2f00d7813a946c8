//! Event streams and lines: whatever the pieces, the same comes out, and a message that is encoded is decoded to itself.

use proptest::prelude::*;
use proptest::sample::select;

use crate::generate;
use crate::invariants;

/// Texts in which many bytes mean something.
fn stream(words: &'static [&'static [u8]]) -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![4 => select(words).prop_map(<[u8]>::to_vec), 1 => prop::collection::vec(any::<u8>(), 0..6)];
    prop::collection::vec(word, 0..40).prop_map(|words| words.concat())
}

const EVENTS: &[&[u8]] = &[
    b"\n",
    b"\r",
    b"\r\n",
    b"\n\n",
    b"data",
    b"data:",
    b"data: x",
    b"data:  y",
    b"event: message",
    b"id: 1",
    b"id: \0",
    b"id",
    b"retry: 10",
    b"retry: +5",
    b"retry: x",
    b"retry:",
    b":",
    b": hi",
    b"\xef\xbb\xbf",
    b"\xe2\x82",
    b"\xac",
    b"\xff",
    b"x: y",
];

const LINES: &[&[u8]] = &[b"\n", b"\r", b"\r\n", b" ", b"\t", b"{}", b"0123456789", b"\xc3", b"\xa9", b"\0"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_event_stream_is_what_the_standard_says_whatever_the_pieces(seed: u8, stream in stream(EVENTS)) {
        invariants::sse(&[&[seed], stream.as_slice()].concat());
    }

    #[test]
    fn lines_are_the_same_whatever_the_pieces(seed: u8, limit in 0..60_u8, stream in stream(LINES)) {
        invariants::lines(&[&[seed, limit], stream.as_slice()].concat());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Messages as they are on the way, line breaks between their tokens included.
    #[test]
    fn messages_survive_both_framings(seed: u8, message in generate::any_message()) {
        let text = message.text();
        invariants::sse(&[&[seed], text.as_bytes()].concat());
        invariants::lines(&[&[seed, 255], text.as_bytes()].concat());
    }
}
