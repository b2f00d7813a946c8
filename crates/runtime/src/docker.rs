//! The `docker` runtime: instances in containers of a Docker engine on this host.
//!
//! The shim is the container's first process: Berth's own binary, mounted read-only, with the image's entry point and
//! command behind it. So every container looks alike from outside, needs no port and may have no network. What the shim
//! must know, its key and secrets among it, comes over a socket ([`handover`]) and is in nobody's listing.
//!
//! Images run as they are. Packages, files and built-in servers run in an empty image with the host's own files mounted
//! read-only, the same that the `process` runtime shows them: they are installed by it, once, and no image is fetched for
//! them. What runs elsewhere has no container; its shim is a process.

mod binary;
mod body;
mod credentials;
mod egress;
mod engine;
mod handover;
mod images;
mod leftovers;
mod mark;
mod network;
mod passes;
mod ports;
mod pulled;
mod start;
mod unused;
mod volumes;
mod watch;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use domain::cleanup::Thing;
use domain::egress::Blocked;
use domain::ids::InstanceId;
use domain::package::Package;
use domain::spec::InstanceSpec;
use domain::status::{Confinement, Protection};
use tokio::sync::{Mutex, OnceCell, RwLock};

use crate::error::RuntimeError;
use crate::layout::Layout;
use crate::process::ProcessRuntime;
use crate::{BoxFuture, Inventory, OnProgress, Prepared, Runtime, Shim, Usage};
use egress::Filter;
pub use egress::Options as EgressOptions;
use engine::Engine;
pub use passes::{Pass, Passes, Trouble};

/// Which instances run in containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All but those that have no process here.
    Everything,
    /// What comes as an image; everything else is a process.
    Images,
    /// None. What ran in containers before is taken out of them.
    Nothing,
}

/// Runs instances in containers.
#[derive(Debug)]
pub struct DockerRuntime {
    process: ProcessRuntime,
    scope: Scope,
    engine: Arc<Engine>,
    /// Where images come from, when it is not their registries.
    passes: Option<Arc<Passes>>,
    layout: Layout,
    berth: PathBuf,
    /// Which of the engine's objects are this runtime's.
    identity: String,
    /// Where the binary lies for containers; copied at the first start of one.
    binary: OnceCell<PathBuf>,
    /// What the engine's host is; it does not change.
    cores: OnceCell<u16>,
    platform: OnceCell<images::Platform>,
    /// Whether root in its containers is an ordinary user of this host, once the engine said so.
    remaps: OnceLock<bool>,
    /// What its containers reach.
    filter: Arc<Filter>,
    /// One network is made, not two of one name.
    network: Mutex<()>,
    /// Shared by those that start a container, so that the network which they have looked at stays.
    starting: RwLock<()>,
    /// Whether the network is known not to be there.
    has_no_network: AtomicBool,
}

impl DockerRuntime {
    /// Opens no connection yet: an engine that is away is told when it is needed, and may come back. `berth` is the binary
    /// that is mounted into containers; it must be static.
    ///
    /// # Errors
    /// As [`ProcessRuntime::new`].
    pub fn new(
        layout: Layout,
        berth: &Path,
        scope: Scope,
        egress: EgressOptions,
    ) -> Result<Self, RuntimeError> {
        let process = ProcessRuntime::new(layout.clone(), berth)?;
        let engine = Arc::new(Engine::of_environment());
        let identity = mark::identity(&layout)?;
        let berth = process.berth().to_owned();
        let filter = Filter::new(&layout, &identity, egress);
        Ok(Self {
            process,
            scope,
            engine,
            passes: None,
            layout,
            berth,
            identity,
            binary: OnceCell::new(),
            cores: OnceCell::new(),
            platform: OnceCell::new(),
            remaps: OnceLock::new(),
            filter,
            network: Mutex::default(),
            starting: RwLock::default(),
            has_no_network: AtomicBool::new(false),
        })
    }

    /// Whether there may be containers of a data directory's instances.
    pub fn was_used(layout: &Layout) -> bool {
        layout.binaries().exists()
    }

    /// As [`ProcessRuntime::in_scopes`], for what needs no container.
    #[must_use]
    pub fn in_scopes(self) -> Self {
        Self { process: self.process.in_scopes(), ..self }
    }

    /// Has the engine pull images from there instead of from their registries.
    #[must_use]
    pub fn pulling(self, passes: Arc<Passes>) -> Self {
        Self { passes: Some(passes), ..self }
    }

    /// As [`ProcessRuntime::fetching`]. Images are pulled by the engine, which has settings of its own.
    #[must_use]
    pub fn fetching(self, variables: BTreeMap<String, String>) -> Self {
        Self { process: self.process.fetching(variables), ..self }
    }

    fn is_contained(&self, package: &Package) -> bool {
        match (self.scope, package) {
            (Scope::Nothing, _) | (_, Package::Remote { .. }) => false,
            (_, Package::Oci { .. }) => true,
            (scope, _) => scope == Scope::Everything,
        }
    }

    async fn prepare_instance(
        &self,
        spec: &InstanceSpec,
        progress: OnProgress<'_>,
    ) -> Result<Prepared, RuntimeError> {
        if !self.is_contained(&spec.package) {
            return self.process.prepare(spec, progress).await;
        }
        if !rustix::process::geteuid().is_root() {
            return Err(RuntimeError::NeedsRoot);
        }
        body::check(spec)?;
        if !spec.launch.each_caller.is_empty() {
            let why = "the processes of a container are not: use a package, on a host whose DTMA runs with `--runtime auto`";
            return Err(RuntimeError::EachCaller { why });
        }
        if let Package::Oci { image } = &spec.package {
            return self.prepare_image(image, spec, progress).await;
        }
        let mut prepared = self.process.prepare_package(spec, progress).await?;
        prepared.image = Some(self.empty_image().await?);
        Ok(prepared)
    }

    /// Keeps the packet filter's rules what they must be, for ever.
    async fn keep_rules(&self) {
        let mut told = None;
        loop {
            self.learn_remapping().await;
            // Rules that know not all containers would cut off those that they do not know.
            let done = match self.know_older().await {
                Ok(()) => self.filter.refresh().await,
                Err(error) => Err(error),
            };
            // Each trouble once, not with every look.
            let trouble = done.err().map(|error| error.to_string());
            if let Some(error) = trouble.as_ref().filter(|_| trouble != told) {
                tracing::warn!(error, "the rules of what containers may reach cannot be kept; trying again");
            }
            told = trouble;
            let is_needless = self.filter.is_quiet() || self.scope == Scope::Nothing;
            if is_needless && let Err(error) = self.clear_away().await {
                tracing::debug!(%error, "what no instance needs any more could not be removed yet");
            }
            tokio::time::sleep(egress::PERIOD).await;
        }
    }

    /// Removes what no instance needs any more and no end of one has removed.
    async fn clear_away(&self) -> Result<(), RuntimeError> {
        if !Self::was_used(&self.layout) {
            return Ok(());
        }
        if self.scope == Scope::Nothing {
            self.clear_ended().await?;
        }
        self.drop_network().await
    }

    /// Asks the engine how it is set up, until it has said so. One that is away is told where it is needed.
    async fn learn_remapping(&self) {
        if self.remaps.get().is_some() {
            return;
        }
        match self.engine.info().await {
            Ok(info) => {
                let options = info.security_options.unwrap_or_default();
                let remaps = options
                    .iter()
                    .any(|option| option.starts_with("name=userns") || option.starts_with("name=rootless"));
                self.remaps.get_or_init(|| remaps);
            }
            Err(error) => tracing::debug!(%error, "the engine does not say how it is set up"),
        }
    }

    async fn kill(&self, instance: InstanceId) -> Result<(), RuntimeError> {
        self.process.kill_leftovers(instance).await?;
        match self.remove_container(instance).await {
            // Nothing runs in it any more, and what comes next needs no engine. It is removed when the engine is back.
            Err(error) if self.scope == Scope::Nothing => {
                let container = mark::name(instance);
                tracing::warn!(%instance, container, %error, "the container that the instance had cannot be removed yet");
                Ok(())
            }
            removed => removed,
        }
    }
}

/// As an environment's status has it.
fn remapping(granted: bool) -> Protection {
    let detail = if granted {
        "root in a container is an ordinary user of this host"
    } else {
        "root in a container is root of this host, limited by its profile; `userns-remap` of the engine would change that"
    };
    Protection { name: "user namespace of containers".to_owned(), granted, detail: detail.to_owned() }
}

impl Runtime for DockerRuntime {
    fn prepare<'a>(
        &'a self,
        spec: &'a InstanceSpec,
        progress: OnProgress<'a>,
    ) -> BoxFuture<'a, Result<Prepared, RuntimeError>> {
        Box::pin(self.prepare_instance(spec, progress))
    }

    fn spawn_shim<'a>(
        &'a self,
        spec: &'a InstanceSpec,
        prepared: &'a Prepared,
    ) -> BoxFuture<'a, Result<Shim, RuntimeError>> {
        match &prepared.image {
            Some(image) => Box::pin(self.start(spec, prepared, image)),
            None => self.process.spawn_shim(spec, prepared),
        }
    }

    fn kill_leftovers(&self, instance: InstanceId) -> BoxFuture<'_, Result<(), RuntimeError>> {
        Box::pin(self.kill(instance))
    }

    fn remove_kept(&self, instance: InstanceId) -> BoxFuture<'_, Result<(), RuntimeError>> {
        Box::pin(self.remove_volumes(instance))
    }

    fn inventory(&self) -> BoxFuture<'_, Result<Inventory, RuntimeError>> {
        Box::pin(self.found())
    }

    fn discard<'a>(&'a self, thing: &'a Thing) -> BoxFuture<'a, Result<(), RuntimeError>> {
        Box::pin(self.remove_thing(thing))
    }

    fn confinement(&self, spec: &InstanceSpec) -> Option<Confinement> {
        if self.is_contained(&spec.package) {
            Some(body::confinement(spec))
        } else {
            self.process.confinement(spec)
        }
    }

    fn protections(&self) -> Vec<Protection> {
        let mut all = self.process.protections();
        if self.scope == Scope::Nothing {
            return all;
        }
        all.push(self.filter.protection());
        all.extend(self.remaps.get().map(|&granted| remapping(granted)));
        all
    }

    fn keep(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.keep_rules())
    }

    fn keeps(&self, instance: InstanceId) -> bool {
        // A record that cannot be read is told when it is needed.
        self.scope != Scope::Nothing || matches!(mark::recorded(&self.layout, instance), Ok(None))
    }

    fn leave(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            if let Err(error) = self.clear_away().await {
                tracing::info!(%error, "the network of containers stays until the next start");
            }
        })
    }

    fn blocked(&self) -> BTreeMap<InstanceId, Vec<Blocked>> {
        self.filter.blocked()
    }

    /// From the kernel, as for processes: the engine takes a second for each container.
    fn usage<'a>(&'a self, instances: &'a [InstanceId]) -> BoxFuture<'a, BTreeMap<InstanceId, Usage>> {
        self.process.usage(instances)
    }
}
