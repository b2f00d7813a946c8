//! Words that several commands take.

use clap::ValueEnum;

/// What runs the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RuntimeChoice {
    /// Images in containers, everything else as sandboxed processes
    Auto,
    /// Everything in containers of this machine's Docker engine
    Docker,
    /// Sandboxed processes alone
    Process,
}

/// How the gateway reaches an instance of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReachChoice {
    /// It opens the shim's socket itself
    Socket,
    /// Through the DTMA's HTTP API, as it would another machine's
    Dtma,
    /// The same over HTTP/2, as through a tunnel
    Http2,
}

/// Where packages of npm and PyPI and container images come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PackagesChoice {
    /// The registries, which this host reaches
    Direct,
    /// The control plane, which fetches them for this host
    FromControl,
}
