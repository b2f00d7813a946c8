//! What a large message costs: at no time more than 2.2 times its own size, the message included.
//!
//! A program of its own, because it counts what all of it allocates.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test's helpers fail as its assertions do, and say what they saw"
)]

use std::alloc::System;
use std::hint::black_box;

use mcp::envelope;
use mcp::lines::{Line, Lines};
use mcp::sse;
use peakmem_alloc::{INSTRUMENTED_SYSTEM, PeakMemAlloc, PeakMemAllocTrait as _};

#[global_allocator]
static MEMORY: &PeakMemAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The limit of a message, and of a line.
const LIMIT: usize = 16 << 20;

#[track_caller]
fn check(what: &str, size: usize, work: impl FnOnce()) {
    MEMORY.reset_peak_memory();
    work();
    let peak = MEMORY.get_peak_memory();
    eprintln!("{what} of {size} bytes: {peak}, {:.3} times", ratio(peak, size));
    assert!(size <= peak, "what was to be counted was not: {what}");
    assert!(peak * 10 <= size * 22, "{what} of {size} bytes: {peak}, {:.3} times", ratio(peak, size));
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn ratio(peak: usize, size: usize) -> f64 {
    peak as f64 / size as f64
}

const HEAD: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"text":""#;
const TAIL: &str = "\"}}";

/// A message of so many bytes.
fn message(size: usize) -> Vec<u8> {
    let mut message = Vec::with_capacity(size);
    message.extend_from_slice(HEAD.as_bytes());
    message.resize(size - TAIL.len(), b'x');
    message.extend_from_slice(TAIL.as_bytes());
    message
}

/// With another id.
fn spliced(message: &[u8]) -> Vec<u8> {
    let message = envelope::scan(message).unwrap();
    let mut out = Vec::new();
    message.splice(&mut [(message.id.unwrap(), b"\"the client's own\"")], &mut out);
    out
}

#[test]
fn a_large_message_costs_little_more_than_twice_its_size() {
    // Any length: buffers that grow in steps are at their worst just above one.
    let sizes = [1, 3, 7, 11, 14, 16].map(|mib| mib << 20).into_iter().chain([
        LIMIT / 2 + 1,
        (1 << 20) + 1,
        11_000_000,
    ]);
    for size in sizes {
        check("a request", size, || {
            let message = message(size);
            let mut line = spliced(&message);
            line.push(b'\n');
            black_box(line);
        });
        check("an answer as one event", size, || {
            black_box(event(&answer(size)));
        });
    }
}

/// An answer that comes through a pipe, with its client's id.
fn answer(size: usize) -> Vec<u8> {
    let mut lines = Lines::new(LIMIT);
    let mut answer = Vec::new();
    let mut at = 0;
    while at <= size {
        let room = lines.room();
        // A pipe holds so much.
        let count = room.len().min(64 << 10).min(size + 1 - at);
        for (offset, byte) in room[..count].iter_mut().enumerate() {
            *byte = byte_of(at + offset, size);
        }
        at += count;
        lines.filled(count, |line| match line {
            Line::Whole(line) => answer = spliced(line),
            Line::TooLong(len) => panic!("{len} bytes are too long"),
        });
    }
    assert!(size < answer.len(), "the line came");
    answer
}

/// The byte of the message of this size, and of the line break behind it.
fn byte_of(at: usize, size: usize) -> u8 {
    let tail = size - TAIL.len();
    match at {
        _ if at < HEAD.len() => HEAD.as_bytes()[at],
        _ if at < tail => b'x',
        _ if at < size => TAIL.as_bytes()[at - tail],
        _ => b'\n',
    }
}

fn event(message: &[u8]) -> Vec<u8> {
    let mut event = Vec::new();
    sse::encode(message, &mut event);
    event
}
