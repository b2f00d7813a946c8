//! What runs an instance on this host: `trait Runtime`, the sandboxed `process` runtime, the `docker` runtime, and the
//! package store.
//!
//! A runtime installs what an instance needs, starts its shim and clears away what a dead shim left behind. It
//! serves nothing, keeps no desired state and knows no MCP: the DTMA decides, the shim speaks.

pub mod activation;
pub mod binary;
mod config;
pub mod docker;
pub mod error;
mod identity;
mod interpreter;
mod inventory;
pub mod layout;
mod leftovers;
pub mod memory;
pub mod process;
pub mod sandbox;
mod store;
mod usage;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::PathBuf;
use std::pin::Pin;

use domain::cleanup::Thing;
use domain::egress::Blocked;
use domain::ids::InstanceId;
use domain::spec::InstanceSpec;
use domain::status::{Confinement, Progress, Protection};
use tokio::sync::oneshot;

use crate::error::RuntimeError;
pub use inventory::Inventory;
pub use usage::{Traffic, Usage};

/// A boxed future, so that `dyn Runtime` works.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Takes an install's progress; called from the task that polls [`Runtime::prepare`].
pub type OnProgress<'a> = &'a (dyn Fn(Progress) + Send + Sync);

/// What can run instances on this host.
pub trait Runtime: Debug + Send + Sync {
    /// Installs the instance's package when it is not there yet. Cancel-safe: a dropped install leaves only a
    /// staging directory, which the next start removes.
    fn prepare<'a>(
        &'a self,
        spec: &'a InstanceSpec,
        progress: OnProgress<'a>,
    ) -> BoxFuture<'a, Result<Prepared, RuntimeError>>;

    /// Starts the instance's shim, detached: it outlives this process.
    ///
    /// The caller has made sure that no other shim of the instance lives ([`Runtime::kill_leftovers`]).
    fn spawn_shim<'a>(
        &'a self,
        spec: &'a InstanceSpec,
        prepared: &'a Prepared,
    ) -> BoxFuture<'a, Result<Shim, RuntimeError>>;

    /// Kills the instance's shim, if it lives, and every process that a dead one left behind; returns when they
    /// are gone. Does nothing when there is nothing, and never touches a process of anybody else.
    fn kill_leftovers(&self, instance: InstanceId) -> BoxFuture<'_, Result<(), RuntimeError>>;

    /// Removes what outlives the instance's shims, such as volumes, when the instance itself is removed and nothing of it
    /// runs any more.
    fn remove_kept(&self, _instance: InstanceId) -> BoxFuture<'_, Result<(), RuntimeError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// What this runtime made or fetched on this host and could remove again. Blocks nothing and changes nothing but its own
    /// notes.
    fn inventory(&self) -> BoxFuture<'_, Result<Inventory, RuntimeError>> {
        Box::pin(std::future::ready(Ok(Inventory::default())))
    }

    /// Removes one thing of the inventory that nobody needs. Nothing is installed meanwhile. Does nothing when it is gone.
    fn discard<'a>(&'a self, _thing: &'a Thing) -> BoxFuture<'a, Result<(), RuntimeError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// In what an instance runs here; `None` for a server that runs elsewhere.
    fn confinement(&self, spec: &InstanceSpec) -> Option<Confinement>;

    /// What goes on beside the instances, such as keeping the rules of what they reach; polled as long as the DTMA runs. Never
    /// ends.
    fn keep(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }

    /// Whether a shim of the instance that an earlier DTMA started runs where this runtime would start it, so that it is kept.
    fn keeps(&self, _instance: InstanceId) -> bool {
        true
    }

    /// The DTMA ends, and has stopped every instance before: nothing needs what they shared.
    fn leave(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// What instances wanted lately to reach and could not.
    fn blocked(&self) -> BTreeMap<InstanceId, Vec<Blocked>> {
        BTreeMap::new()
    }

    /// What servers are protected with on this host, tried for real.
    fn protections(&self) -> Vec<Protection>;

    /// What each of these instances uses; one of which nothing is known, or nothing runs, is not in the answer.
    fn usage<'a>(&'a self, _instances: &'a [InstanceId]) -> BoxFuture<'a, BTreeMap<InstanceId, Usage>> {
        Box::pin(std::future::ready(BTreeMap::new()))
    }
}

/// An installed package, ready to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// The exact version; absent for what is part of the binary.
    pub version: Option<String>,
    /// `sha256:…` of the package's lock (names, versions, integrity hashes); absent as above.
    pub digest: Option<String>,
    /// The program and its first arguments, without the instance's own arguments and without the sandbox.
    pub command: Vec<String>,
    /// What the program reads beyond the system's directories.
    pub read: Vec<PathBuf>,
    /// What the program needs in its environment, such as `PYTHONPATH`.
    pub env: BTreeMap<String, String>,
    /// The image of the container that it runs in; absent for a process of the host.
    pub image: Option<Image>,
}

/// A container image that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The engine's id of it, which never comes to mean another.
    pub id: String,
    /// The working directory.
    pub workdir: PathBuf,
    /// What its processes are asked to end with; absent: SIGTERM.
    pub stop_signal: Option<String>,
}

/// A shim that was just started.
#[derive(Debug)]
pub struct Shim {
    /// Its process id.
    pub pid: u32,
    /// Resolves when it ends, with how, such as `exit status: 1`. Fails when the runtime is dropped.
    pub ended: oneshot::Receiver<String>,
}
