//! The shim over its real socket, beside a real process that misbehaves.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail as its assertions do")]

mod bad_input;
mod bridge;
mod callers;
mod calls;
mod harness;
mod lifecycle;
mod processes;
mod rules;
mod sleep;
mod tokens;
mod transports;
mod virtual_server;
