//! The shim over its real socket, beside a real process that misbehaves.

mod bad_input;
mod calls;
mod harness;
mod lifecycle;
