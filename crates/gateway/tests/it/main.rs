//! The gateway before a shim that the tests play themselves: a real socket on each side, real HTTP between.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests are tests too")]

mod attacks;
mod between;
mod calls;
mod in_process;
mod platform;
mod records;
mod refusals;
mod streams;
