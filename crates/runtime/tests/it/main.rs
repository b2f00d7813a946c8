//! The runtime on this host, for real: packages from their registries, servers in the sandbox, a hostile one.

mod hostile;
mod leftovers;
mod packages;
mod support;
