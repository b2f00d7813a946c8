//! One HTTP hop on the path of a call: pooled HTTP/1.1 over a unix socket or TCP, bodies streamed both ways.
//!
//! The gateway and the DTMA forward with it, the shim and the DTMA listen with it. It knows no MCP, no users, no
//! instances. Sockets are opened through directory descriptors and no link is followed, so a path longer than the
//! 108 bytes of `sun_path` works and a link planted in the directory leads nowhere.

pub mod address;
pub mod forward;
pub mod pool;
pub mod serve;
