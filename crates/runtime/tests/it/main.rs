//! The runtime on this host, for real: packages from their registries, servers in the sandbox, a hostile one.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests are tests too")]

mod files;
mod hostile;
mod leftovers;
mod packages;
mod support;
