//! The gateway before a shim that the tests play themselves: a real socket on each side, real HTTP between.

mod calls;
mod platform;
mod refusals;
mod streams;
