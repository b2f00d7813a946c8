//! Any bytes as an event stream and as lines: the same comes out however the stream is cut, and it is what the rules
//! say when they are applied to the whole of it at once.

use mcp::lines::{Line, Lines};
use mcp::sse::{self, Decoder, Event};

use super::pieces;

/// The first byte says how the rest, an event stream, is cut. The rest is also encoded as a message.
pub(crate) fn sse(data: &[u8]) {
    let Some((&seed, stream)) = data.split_first() else { return };
    let expected = events_of(stream);
    for seed in [0, 1, seed] {
        assert_eq!(decode(stream, seed, usize::MAX), (expected.clone(), true), "cut by {seed}");
    }
    // Above a limit it ends at the same place, wherever the pieces end.
    let limited = decode(stream, 0, usize::from(seed));
    for seed in [1, seed] {
        assert_eq!(decode(stream, seed, usize::from(u8::MAX)).0, decode(stream, 0, usize::from(u8::MAX)).0);
        assert_eq!(decode(stream, seed, usize::from(data[0])), limited, "cut by {seed}");
    }
    assert!(expected.starts_with(&limited.0));
    assert!(limited.0.iter().all(|event| event.data.len() <= usize::from(seed)));

    let mut encoded = Vec::new();
    sse::encode(stream, &mut encoded);
    sse::encode_numbered(stream, "c1-2", &mut encoded);
    let text = String::from_utf8_lossy(stream).replace('\r', "\n");
    let event = |id: Option<&str>| Event {
        event: "message".to_owned(),
        data: text.clone(),
        id: id.map(str::to_owned),
        retry: None,
    };
    let expected = vec![event(None), event(Some("c1-2"))];
    for seed in [0, 1, seed] {
        assert_eq!(decode(&encoded, seed, usize::MAX), (expected.clone(), true), "cut by {seed}");
    }
}

/// The events, and whether all of the stream was taken.
fn decode(stream: &[u8], seed: u8, limit: usize) -> (Vec<Event>, bool) {
    let mut decoder = Decoder::new(limit);
    let mut events = Vec::new();
    let all = pieces(stream, seed).into_iter().all(|piece| decoder.push(piece, &mut events).is_ok());
    (events, all)
}

/// The HTML standard's §9.2.6 in its own words, for a stream that is there as a whole.
fn events_of(stream: &[u8]) -> Vec<Event> {
    let text = String::from_utf8_lossy(stream);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text).replace("\r\n", "\n").replace('\r', "\n");
    let mut events = Vec::new();
    let mut event = Event::default();
    let mut data: Option<String> = None;
    let mut lines: Vec<&str> = text.split('\n').collect();
    // What follows the last line break is no line yet.
    lines.pop();
    for line in lines {
        if line.is_empty() {
            let done = std::mem::take(&mut event);
            if let Some(data) = data.take() {
                events.push(Event { data: data.strip_suffix('\n').unwrap_or(&data).to_owned(), ..done });
            }
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut event.event),
            "data" => {
                let data = data.get_or_insert_default();
                data.push_str(value);
                data.push('\n');
            }
            "id" if !value.contains('\0') => event.id = Some(value.to_owned()),
            "retry" if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                event.retry = value.parse().ok().or(event.retry);
            }
            _ => {}
        }
    }
    events
}

/// The first byte says how the rest is cut, the second one is the limit of a line.
pub(crate) fn lines(data: &[u8]) {
    let [seed, limit, stream @ ..] = data else { return };
    let limit = usize::from(*limit);
    let mut expected: Vec<Result<&[u8], u64>> = Vec::new();
    for line in stream.split(|byte| *byte == b'\n') {
        let text = line.strip_suffix(b"\r").unwrap_or(line);
        if limit < line.len() {
            expected.push(Err(line.len() as u64));
        } else if !text.iter().all(u8::is_ascii_whitespace) {
            expected.push(Ok(text));
        }
    }
    for seed in [0, 1, *seed] {
        let got = cut(stream, seed, limit);
        let got: Vec<_> = got.iter().map(|line| line.as_deref().map_err(|len| *len)).collect();
        assert_eq!(got, expected, "cut by {seed}");
    }
}

fn cut(stream: &[u8], seed: u8, limit: usize) -> Vec<Result<Vec<u8>, u64>> {
    let mut lines = Lines::new(limit);
    let mut out = Vec::new();
    let mut take = |line: Line<'_>| {
        out.push(match line {
            Line::Whole(line) => Ok(line.to_vec()),
            Line::TooLong(len) => Err(len),
        });
    };
    for mut piece in pieces(stream, seed) {
        loop {
            let room = lines.room();
            assert!(!room.is_empty());
            let count = piece.len().min(room.len());
            room[..count].copy_from_slice(&piece[..count]);
            piece = &piece[count..];
            lines.filled(count, &mut take);
            if piece.is_empty() {
                break;
            }
        }
    }
    lines.finish(&mut take);
    out
}
