//! Any bytes as a message: what is accepted, what another parser finds in it, and what a splice changes.

use mcp::envelope::{self, Envelope, EnvelopeError, Kind, Span};

use super::json::{self, flattened, one};

/// Containers within containers, as documented.
const MAX_DEPTH: usize = 128;

/// Any bytes as a message, and as a batch.
pub(crate) fn envelope(data: &[u8]) {
    batch(data);
    match envelope::scan(data) {
        Ok(message) => {
            accepted(&message, data);
            spliced(&message);
        }
        Err(error) => refused(data, &error),
    }
}

/// What is refused as no JSON is none, and what is refused as something else is JSON.
fn refused(data: &[u8], error: &EnvelopeError) {
    let text = match (std::str::from_utf8(data), error) {
        (Err(utf8), EnvelopeError::NotUtf8 { at }) => return assert_eq!(utf8.valid_up_to(), *at),
        (Ok(text), _) => text,
        (Err(_), _) => panic!("{error} for what is not UTF-8"),
    };
    let first = text.bytes().find(|byte| !b" \t\r\n".contains(byte));
    let holds = match error {
        EnvelopeError::NotUtf8 { .. } | EnvelopeError::TooLong => false,
        EnvelopeError::NotJson { at, .. } => *at <= text.len() && !json::is_json(text),
        EnvelopeError::TooDeep => MAX_DEPTH < json::depth(text),
        // Refused at once, so what follows may be anything.
        EnvelopeError::RepeatedKey { .. } | EnvelopeError::EscapedKey { .. } => first == Some(b'{'),
        EnvelopeError::Batch => first == Some(b'[') && json::is_json(text),
        EnvelopeError::NotObject => first != Some(b'[') && first != Some(b'{') && json::is_json(text),
        EnvelopeError::Version | EnvelopeError::Id | EnvelopeError::Method | EnvelopeError::Shape => {
            first == Some(b'{') && json::is_json(text)
        }
    };
    assert!(holds, "{error}: {text:?}");
    assert!(matches!(error.code(), -32700 | -32600));
}

/// Another parser finds the same members at the same places, and only once.
fn accepted(message: &Envelope<'_>, data: &[u8]) {
    let text = message.text();
    assert_eq!(text.as_bytes(), data);
    assert!(json::is_json(text), "accepted, but no JSON: {text:?}");
    assert!(json::depth(text) <= MAX_DEPTH, "accepted, but too deep");
    let same = |span: Option<Span>, theirs: Option<&str>, key: &str| {
        let place = |part: &str| (part.as_ptr() as usize - text.as_ptr() as usize, part.len());
        let ours = span.map(|span| place(message.raw(span)));
        assert_eq!(ours, theirs.map(place), "{key} in {text:?}");
    };
    let members = json::members(text);
    assert_eq!(one(&members, "jsonrpc").and_then(json::decoded).as_deref(), Some("2.0"));
    same(message.id, one(&members, "id").filter(|raw| *raw != "null"), "id");
    let bodies = [
        ("method", message.method),
        ("params", message.params),
        ("result", message.result),
        ("error", message.error),
    ];
    for (key, span) in bodies {
        same(span, one(&members, key), key);
    }
    let kind = match (message.method, message.id) {
        (Some(_), Some(_)) => Kind::Request,
        (Some(_), None) => Kind::Notification,
        (None, _) => Kind::Answer,
    };
    assert_eq!(message.kind(), kind);
    let method = message.method.map(|span| json::decoded(message.raw(span)).expect("the method is a string"));
    assert_eq!(message.method(), method.unwrap_or_default());

    let marks = &message.marks;
    let within = |span: Option<Span>| span.map_or_else(Vec::new, |span| json::members(message.raw(span)));
    let (params, result, error) = (within(message.params), within(message.result), within(message.error));
    for (key, span) in [
        ("name", marks.name),
        ("uri", marks.uri),
        ("taskId", marks.task_id),
        ("requestId", marks.request_id),
        ("progressToken", marks.progress_token),
        ("level", marks.level),
        ("notifications", marks.notifications),
    ] {
        same(span, one(&params, key), key);
    }
    for (key, span) in
        [("resultType", marks.result_type), ("ttlMs", marks.ttl), ("cacheScope", marks.cache_scope)]
    {
        same(span, one(&result, key), key);
    }
    same(marks.code, one(&error, "code"), "code");
    for (key, span) in [("protocolVersion", marks.protocol_version), ("_meta", marks.meta)] {
        same(span, one(&params, key).or_else(|| one(&result, key)), key);
    }
    let meta = within(marks.meta);
    for (key, span) in [
        ("progressToken", marks.meta_progress_token),
        ("io.modelcontextprotocol/protocolVersion", marks.meta_version),
        ("io.modelcontextprotocol/clientCapabilities", marks.meta_capabilities),
        ("io.modelcontextprotocol/logLevel", marks.meta_log_level),
        ("io.modelcontextprotocol/subscriptionId", marks.meta_subscription),
        ("io.modelcontextprotocol/serverInfo", marks.meta_server_info),
    ] {
        same(span, one(&meta, key), key);
    }
}

/// A splice changes what it is told to and line breaks, and can be taken back.
fn spliced(message: &Envelope<'_>) {
    let mut plain = b"before\r\n".to_vec();
    message.splice(&mut [], &mut plain);
    let plain = plain.strip_prefix(b"before\r\n").expect("what was there stays");
    assert_eq!(plain, flattened(message.text()).as_bytes());
    let again = envelope::scan(plain).expect("what was accepted stays so");
    let places = |message: &Envelope<'_>| {
        let Envelope { id, method, params, result, error, marks, .. } = message;
        (message.kind(), *id, *method, *params, *result, *error, *marks)
    };
    assert_eq!(places(&again), places(message));

    let ours = b"18446744073709551615";
    let is_token = |span: &Span| {
        message.raw(*span).starts_with(['"', '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])
    };
    let token = message.marks.meta_progress_token.filter(is_token);
    // In the wrong order on purpose: it is for the splice to sort them.
    let mut edits: Vec<(Span, &[u8])> =
        token.into_iter().chain(message.id).map(|span| (span, ours.as_slice())).collect();
    let mut out = Vec::new();
    message.splice(&mut edits, &mut out);
    let replaced = envelope::scan(&out).expect("a replaced id or token leaves a message");
    assert_eq!(replaced.kind(), message.kind());
    let mut back: Vec<(Span, &[u8])> = Vec::new();
    for (theirs, now) in [(message.id, replaced.id), (token, replaced.marks.meta_progress_token)] {
        if let (Some(theirs), Some(now)) = (theirs, now) {
            assert_eq!(replaced.raw(now).as_bytes(), ours);
            back.push((now, message.raw(theirs).as_bytes()));
        }
    }
    let mut restored = Vec::new();
    replaced.splice(&mut back, &mut restored);
    assert_eq!(restored, plain);
}

/// The messages of a batch are what another parser says they are.
fn batch(data: &[u8]) {
    let theirs = std::str::from_utf8(data).ok().and_then(json::items);
    match (envelope::split_batch(data), theirs) {
        (Ok(ours), Some(theirs)) => {
            assert!(ours.iter().copied().eq(theirs.iter().map(|item| item.as_bytes())));
        }
        (Ok(_), None) => panic!("split, but no array: {data:?}"),
        (Err(EnvelopeError::TooDeep), theirs) => {
            assert!(theirs.is_none() || MAX_DEPTH < std::str::from_utf8(data).map_or(0, json::depth));
        }
        (Err(error), Some(_)) => panic!("{error}: {data:?}"),
        (Err(_), None) => {}
    }
}
