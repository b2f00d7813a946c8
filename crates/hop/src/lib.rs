//! One HTTP hop on the path of a call: pooled HTTP/1.1 over a unix socket or TCP, or one HTTP/2 connection, bodies streamed
//! both ways.
//!
//! The gateway and the DTMA forward with it, the shim and the DTMA listen with it. It knows no MCP, no users, no
//! instances. Sockets are opened through directory descriptors and no link is followed, so a path longer than the
//! 108 bytes of `sun_path` works and a link planted in the directory leads nowhere.

/// The largest buffer of a connection, in bytes. What a long message once needed, its connection keeps; so this bounds the memory of
/// hundreds of idle ones. It is the largest head of a message too.
const BUFFER: usize = 64 << 10;

pub mod address;
pub mod forward;
mod multiplexed;
pub mod passed;
pub mod pool;
pub mod serve;
mod streams;
pub mod tls;
pub mod websocket;
