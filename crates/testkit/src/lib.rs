//! What tests stand on: real parts, started and ended by the test that needs them. No product code depends on it.
//!
//! Everything here panics when a part is missing or does not do what it should within its time: in a test there is
//! nobody to hand an error to, and nothing is ever skipped.

#![expect(clippy::expect_used, clippy::print_stderr, reason = "a test has nobody to hand an error to")]

#[cfg(feature = "browser")]
pub mod browser;
pub mod conformance;
#[cfg(feature = "digitalocean")]
pub mod digitalocean;
pub mod docker;
#[cfg(feature = "digitalocean")]
pub mod droplets;
pub mod host;
pub mod hosts;
pub mod legacy;
pub mod loopback;
#[cfg(feature = "http")]
pub mod mcp;
pub mod nginx;
pub mod oidc;
pub mod packages;
pub mod pebble;
pub mod platform;
pub mod ports;
pub mod postgres;
pub mod processes;
pub mod registry;
pub mod smtp;
pub mod systemd;
pub mod tinyproxy;
pub mod tools;
pub mod wait;
