//! The MCP brain of a shim, without I/O: envelopes, revisions, sessions, framing, and the multiplexer of one process.
//!
//! Everything here takes bytes and events and gives bytes and actions. It opens nothing, waits for nothing and reads no
//! clock, so every rule can be tested with a table. It knows no database, no Docker, no users.

pub mod client;
pub mod envelope;
pub mod errors;
pub mod front;
pub mod headers;
mod json;
pub mod level;
pub mod lines;
mod listeners;
pub mod mux;
pub mod opening;
pub mod park;
pub mod recall;
pub mod revision;
pub mod rule;
pub mod session;
pub mod sse;
pub(crate) mod translate;
pub mod watch;

/// The parts of JSON text, as they stand in it.
pub mod parts {
    pub use crate::translate::{items, member, members, span_of};
}
