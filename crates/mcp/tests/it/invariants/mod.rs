//! What must hold of any bytes whatever, one function for each kind of input: each panics when it does not hold.
//!
//! Shared by the tests here, which feed generated input and the committed corpora, and by the fuzz targets in `fuzz/`,
//! so it uses nothing but the public interface of `mcp` and another JSON parser to compare with.

mod envelopes;
mod framing;
mod headers;
pub(crate) mod json;
mod sessions;

pub(crate) use envelopes::envelope;
pub(crate) use framing::{lines, sse};
use headers::headers;
use sessions::sessions;

/// Panics when something does not hold of the input.
pub(crate) type Check = fn(&[u8]);

/// A check and the name of its fuzz target and corpus.
pub(crate) const ALL: [(&str, Check); 5] =
    [("envelope", envelope), ("sse", sse), ("lines", lines), ("headers", headers), ("sessions", sessions)];

/// Cuts a stream into pieces, some of them empty, as `seed` says: whole, single bytes, or anything between.
fn pieces(mut stream: &[u8], seed: u8) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    let mut state = u32::from(seed);
    while !stream.is_empty() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let len = match seed {
            0 => stream.len(),
            1 => 1,
            _ => (state >> 24) as usize % (usize::from(seed) + 1),
        };
        let (piece, rest) = stream.split_at(len.min(stream.len()));
        pieces.push(piece);
        if seed == 1 {
            pieces.push(b"");
        }
        stream = rest;
    }
    pieces
}
