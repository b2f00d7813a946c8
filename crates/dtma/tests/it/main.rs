//! The DTMA over its real HTTP API, on a host whose runtime and shims are fakes: real sockets, real files, real
//! processes as the shims' bodies, and nothing that needs a package or a server.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests are tests too")]

mod bad_input;
mod cleanup;
mod console;
mod endpoints;
mod forward;
mod heartbeat;
mod host;
mod images;
mod leases;
mod logs;
mod machine;
mod older;
mod openapi;
mod reconciler;
mod recovery;
mod tokens;
