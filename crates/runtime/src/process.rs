//! The `process` runtime: instances as sandboxed processes of this host, without Docker.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use domain::catalog::Transport;
use domain::cleanup::{Thing, ThingKind};
use domain::egress::Egress;
use domain::ids::InstanceId;
use domain::package::Package;
use domain::shim::{CALLER_PLACEHOLDER, Link, ShimConfig};
use domain::spec::InstanceSpec;
use domain::status::{Confinement, Protection};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::sync::{Mutex, oneshot};

use crate::config::{self, OPEN_FILES, PROCESSES, Places, Server};
use crate::error::RuntimeError;
use crate::layout::Layout;
use crate::sandbox::policy::{Policy, ResourceLimits, system_paths};
use crate::sandbox::probe::{self, Probe};
use crate::store::Store;
use crate::{BoxFuture, Inventory, OnProgress, Prepared, Runtime, Shim, Usage};
use crate::{identity, interpreter, inventory, leftovers, usage};

/// Runs instances as sandboxed processes.
#[derive(Debug)]
pub struct ProcessRuntime {
    layout: Layout,
    berth: PathBuf,
    probe: Probe,
    store: Arc<Store>,
    /// Whether shims get a scope of systemd's each.
    in_scopes: bool,
    /// Users are chosen one at a time.
    users: Mutex<()>,
}

impl ProcessRuntime {
    /// Probes this host and opens the package store; removes what a killed install left. `berth` is the binary
    /// whose `shim`, `__sandbox` and `__welcome` are started. Blocks for a fraction of a second.
    ///
    /// # Errors
    /// [`RuntimeError::Io`] when a directory cannot be made or the helper cannot be run, [`RuntimeError::NoSpace`].
    pub fn new(layout: Layout, berth: &Path) -> Result<Self, RuntimeError> {
        let berth = fs::canonicalize(berth).map_err(RuntimeError::io("find", berth))?;
        let probe = probe::probe(&berth).map_err(RuntimeError::io("run the sandbox helper of", &berth))?;
        for directory in [layout.instances(), layout.sockets(), layout.packages(), layout.facts()] {
            private_directory(&directory)?;
        }
        let store = Store::open(layout.packages(), berth.clone(), probe.enforce)?;
        let store = Arc::new(store);
        Ok(Self { layout, berth, probe, store, in_scopes: false, users: Mutex::new(()) })
    }

    /// As it is, with every shim in a scope of systemd's, in the slice `berth.slice`: what a service starts is ended with it
    /// otherwise.
    #[must_use]
    pub fn in_scopes(self) -> Self {
        Self { in_scopes: true, ..self }
    }

    /// As it is, with variables for the installers of packages, which go before those of the host: a proxy, other registries.
    #[must_use]
    pub fn fetching(self, variables: BTreeMap<String, String>) -> Self {
        // The store is this runtime's own and has none yet.
        let _ = self.store.fetching.set(variables);
        self
    }

    /// Where this runtime's files lie.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The binary whose `shim` is started, with no link on the way.
    pub(crate) fn berth(&self) -> &Path {
        &self.berth
    }

    /// The instance's own user.
    pub(crate) async fn user_of(&self, instance: InstanceId) -> Result<u32, RuntimeError> {
        let _one_at_a_time = self.users.lock().await;
        identity::user_of(&self.layout, instance)
    }

    /// The packages, and the host's own copies of the binary when there are any.
    pub(crate) async fn found_here(&self) -> Result<Inventory, RuntimeError> {
        let (store, berth) = (Arc::clone(&self.store), self.berth.clone());
        let place = self.layout.packages();
        let looking = tokio::task::spawn_blocking(move || {
            let mut found = store.found()?;
            if let Some(programs) = inventory::programs_of(&berth) {
                found.extend(inventory::binaries(programs, &berth)?);
            }
            Ok(Inventory { found, unseen: Vec::new() })
        });
        looking.await.map_err(|e| RuntimeError::io("read", place)(e.into()))?
    }

    /// Removes a package with what is known of its servers, or a copy of the binary.
    pub(crate) async fn remove_here(&self, thing: &Thing) -> Result<(), RuntimeError> {
        let (store, berth, thing) = (Arc::clone(&self.store), self.berth.clone(), thing.clone());
        let (place, facts) = (self.layout.packages(), self.layout.facts());
        let removing = tokio::task::spawn_blocking(move || match thing.kind {
            ThingKind::Package => {
                store.remove(&thing.name)?;
                let facts = facts.join(&thing.name);
                match fs::remove_file(&facts) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        Err(RuntimeError::io("remove", facts)(error))
                    }
                    _ => Ok(()),
                }
            }
            ThingKind::Binary => match inventory::programs_of(&berth) {
                Some(programs) => inventory::remove_binary(programs, &thing.name),
                None => Ok(()),
            },
            ThingKind::Container | ThingKind::Network | ThingKind::Image => Ok(()),
        });
        removing.await.map_err(|e| RuntimeError::io("remove from", place)(e.into()))?
    }

    /// Installs the package of an instance, wherever that is to run.
    pub(crate) async fn prepare_package(
        &self,
        spec: &InstanceSpec,
        progress: OnProgress<'_>,
    ) -> Result<Prepared, RuntimeError> {
        if let Package::Remote { .. } = &spec.package {
            return Ok(Prepared {
                version: None,
                digest: None,
                command: Vec::new(),
                read: Vec::new(),
                env: BTreeMap::new(),
                image: None,
            });
        }
        if !self.probe.enforce.hides_files() {
            return Err(RuntimeError::NoSandbox);
        }
        let mut prepared = match &spec.package {
            Package::Builtin { name } if name == "welcome" => Prepared {
                version: None,
                digest: None,
                command: vec![text(&self.berth), "__welcome".to_owned()],
                read: vec![self.berth.clone()],
                env: BTreeMap::new(),
                image: None,
            },
            Package::Builtin { name } => return Err(RuntimeError::UnknownBuiltin { name: name.clone() }),
            package => self.store.install(package, &spec.launch, progress).await?,
        };
        let mut directories = Vec::new();
        for program in &spec.launch.programs {
            let found = interpreter::program(program)?;
            directories.extend(found.parent().map(text));
            prepared.read.extend(interpreter::parts_of(&found));
        }
        let mut path = prepared.env.remove("PATH").into_iter().collect::<Vec<_>>();
        path.extend(directories);
        path.extend(["/usr/local/bin".to_owned(), "/usr/bin".to_owned(), "/bin".to_owned()]);
        path.dedup();
        prepared.env.insert("PATH".to_owned(), path.join(":"));
        self.refuse_visible_data(&prepared)?;
        Ok(prepared)
    }

    /// The allow-list never holds the data directory; what is misplaced is refused, not hidden.
    fn refuse_visible_data(&self, prepared: &Prepared) -> Result<(), RuntimeError> {
        let data =
            fs::canonicalize(&self.layout.data).map_err(RuntimeError::io("find", &self.layout.data))?;
        for path in system_paths().iter().chain(&prepared.read) {
            let Ok(visible) = fs::canonicalize(path) else { continue };
            if data.starts_with(&visible) {
                return Err(RuntimeError::DataVisible { data, visible });
            }
        }
        Ok(())
    }

    /// What a shim is told of a server that runs elsewhere.
    fn remote_config(&self, spec: &InstanceSpec, url: &str) -> Result<ShimConfig, RuntimeError> {
        for directory in &[self.layout.state_dir(spec.id), self.layout.socket_dir(spec.id)] {
            private_directory(directory)?;
        }
        let link = Link::Remote { url: url.to_owned(), sse: spec.launch.transport == Transport::Sse };
        let server = Server { link, command: Vec::new(), cwd: PathBuf::from("/"), env: spec.env.clone() };
        Ok(config::shim_config(spec, self.places(spec, None), server))
    }

    fn places(&self, spec: &InstanceSpec, digest: Option<&str>) -> Places {
        Places {
            socket_dir: self.layout.socket_dir(spec.id),
            log: self.layout.server_log(spec.id),
            sessions: self.layout.sessions(spec.id),
            facts: self.layout.facts_of(digest, spec.id),
        }
    }

    /// All the shim is told. The directories exist afterwards, with the right owners.
    async fn shim_config(
        &self,
        spec: &InstanceSpec,
        prepared: &Prepared,
    ) -> Result<ShimConfig, RuntimeError> {
        if let Package::Remote { url } = &spec.package {
            return self.remote_config(spec, url);
        }
        let (state, work) = (self.layout.state_dir(spec.id), self.layout.work_dir(spec.id));
        for directory in [&state, &self.layout.socket_dir(spec.id), &work] {
            private_directory(directory)?;
        }
        let uid = if self.probe.enforce.own_uid {
            let uid = self.user_of(spec.id).await?;
            if spec.launch.each_caller.is_empty() {
                give(&work, uid)?;
            }
            Some(uid)
        } else {
            None
        };
        // Each caller's process has a directory of its own there, and sees no other; the shim makes it.
        let all_work = work;
        let work = if spec.launch.each_caller.is_empty() {
            all_work.clone()
        } else {
            all_work.join(CALLER_PLACEHOLDER)
        };
        // Without a root of its own, a program would share the host's /tmp.
        let temporary = if self.probe.enforce.mount_namespace {
            "/tmp".to_owned()
        } else {
            let temporary = work.join(".tmp");
            private_directory(&temporary)?;
            text(&temporary)
        };

        let mut read = system_paths();
        read.extend(prepared.read.iter().cloned());
        let policy = Policy {
            enforce: self.probe.enforce,
            uid,
            read,
            write: vec![work.clone()],
            copy: Vec::new(),
            cwd: work.clone(),
            limits: ResourceLimits {
                processes: Some(spec.limits.processes.unwrap_or(PROCESSES)),
                open_files: Some(spec.limits.open_files.unwrap_or(OPEN_FILES)),
                data_bytes: spec.limits.memory_mib.map(|mib| mib.saturating_mul(1 << 20)),
            },
            no_network: spec.launch.egress == Some(Egress::None),
        };
        let mut command = sandboxed(&self.berth, &policy)?;
        command.extend(prepared.command.iter().cloned());
        command.extend(config::arguments(spec, &text(&work)));
        let mut env = config::user_variables(&text(&work), temporary);
        env.extend(prepared.env.clone());
        config::add_settings(&mut env, spec, &text(&work));
        let server = Server { link: config::link(spec, None), command, cwd: PathBuf::from("/"), env };
        let mut config = config::shim_config(spec, self.places(spec, prepared.digest.as_deref()), server);
        if let Some(each) = &mut config.each_caller {
            (each.work, each.uid) = (Some(all_work), uid);
        }
        Ok(config)
    }

    /// Whether the processes of an instance would be apart, where each has the values of one caller.
    fn check_each_caller(&self, spec: &InstanceSpec) -> Result<(), RuntimeError> {
        let refuse = |why| Err(RuntimeError::EachCaller { why });
        if spec.launch.each_caller.is_empty() || matches!(spec.package, Package::Remote { .. }) {
            return Ok(());
        }
        if spec.launch.transport != Transport::Stdio {
            return refuse("a server that serves HTTP is one process for all: use the transport `stdio`");
        }
        let enforce = self.probe.enforce;
        if !(enforce.mount_namespace && enforce.pid_namespace) {
            return refuse("this host grants no process a root and a process tree of its own");
        }
        Ok(())
    }

    /// A process has the host's network or none; what cannot be kept is not promised.
    fn check_egress(&self, spec: &InstanceSpec) -> Result<(), RuntimeError> {
        match spec.launch.egress {
            Some(Egress::AllowList { .. }) => Err(RuntimeError::NoEgress),
            Some(Egress::None) => {
                let why = if matches!(spec.package, Package::Remote { .. }) {
                    "it runs elsewhere"
                } else if spec.launch.transport != Transport::Stdio {
                    "it serves HTTP, which reaches no process without a network: use the transport `stdio`"
                } else if !self.probe.network_namespace {
                    "this host grants no network namespaces"
                } else {
                    return Ok(());
                };
                Err(RuntimeError::NeedsNetwork { why })
            }
            Some(Egress::Open) | None => Ok(()),
        }
    }

    /// The program that becomes the shim. `systemd-run --scope` is replaced by it once the scope is made.
    fn shim_command(&self, instance: InstanceId) -> Command {
        if !self.in_scopes {
            return Command::new(&self.berth);
        }
        let mut command = Command::new("/usr/bin/systemd-run");
        command
            .args(["--scope", "--quiet", "--collect", "--slice=berth.slice"])
            .arg(format!("--description=Berth's shim of {instance}"))
            .arg("--")
            .arg(&self.berth);
        command
    }

    async fn start(&self, spec: &InstanceSpec, prepared: &Prepared) -> Result<Shim, RuntimeError> {
        let config = self.shim_config(spec, prepared).await?;
        let document = serde_json::to_vec(&config)
            .map_err(|e| RuntimeError::io("write the configuration of", &self.berth)(e.into()))?;
        let log = self.layout.shim_log(spec.id);
        let open = || {
            fs::OpenOptions::new()
                .create(true)
                .append(true)
                .mode(0o600)
                .open(&log)
                .map_err(RuntimeError::io("open", &log))
        };
        let mut command = self.shim_command(spec.id);
        command
            .arg("shim")
            .env_clear()
            .envs(["RUST_LOG", "RUST_BACKTRACE"].into_iter().filter_map(|n| Some((n, std::env::var_os(n)?))))
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(open()?)
            .stderr(open()?)
            // Not killed with the DTMA, nor by a signal to its group.
            .process_group(0);
        let mut child = command.spawn().map_err(RuntimeError::io("start", &self.berth))?;
        let pid = child.id().unwrap_or_default();
        leftovers::record_shim(&self.layout, spec.id, pid)?;
        if let Some(mut stdin) = child.stdin.take() {
            let sent = stdin.write_all(&document).await;
            // A shim that ended at once is told by how it ended, below, better than by a broken pipe.
            sent.or_else(|e| if e.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(e) })
                .map_err(RuntimeError::io("configure", &self.berth))?;
        }
        let (tell, ended) = oneshot::channel();
        tokio::spawn(async move {
            let how = child.wait().await.map_or_else(|e| e.to_string(), |status| status.to_string());
            // Nobody may be listening any more.
            let _ = tell.send(how);
        });
        Ok(Shim { pid, ended })
    }
}

impl Runtime for ProcessRuntime {
    fn prepare<'a>(
        &'a self,
        spec: &'a InstanceSpec,
        progress: OnProgress<'a>,
    ) -> BoxFuture<'a, Result<Prepared, RuntimeError>> {
        Box::pin(async move {
            self.check_egress(spec)?;
            self.check_each_caller(spec)?;
            self.prepare_package(spec, progress).await
        })
    }

    fn spawn_shim<'a>(
        &'a self,
        spec: &'a InstanceSpec,
        prepared: &'a Prepared,
    ) -> BoxFuture<'a, Result<Shim, RuntimeError>> {
        Box::pin(self.start(spec, prepared))
    }

    fn kill_leftovers(&self, instance: InstanceId) -> BoxFuture<'_, Result<(), RuntimeError>> {
        let layout = self.layout.clone();
        Box::pin(async move {
            let path = layout.instance_dir(instance);
            tokio::task::spawn_blocking(move || leftovers::kill(&layout, instance))
                .await
                .map_err(|e| RuntimeError::io("clear away what is left in", path)(e.into()))?
        })
    }

    fn inventory(&self) -> BoxFuture<'_, Result<Inventory, RuntimeError>> {
        Box::pin(self.found_here())
    }

    fn discard<'a>(&'a self, thing: &'a Thing) -> BoxFuture<'a, Result<(), RuntimeError>> {
        Box::pin(self.remove_here(thing))
    }

    fn confinement(&self, spec: &InstanceSpec) -> Option<Confinement> {
        if let Package::Remote { .. } = &spec.package {
            return None;
        }
        Some(Confinement {
            // Nothing keeps the others from what the host reaches.
            egress: spec.launch.egress.clone().filter(|egress| *egress == Egress::None),
            runtime: "process".to_owned(),
            profile: None,
            memory_mib: spec.limits.memory_mib,
            processes: spec.limits.processes.unwrap_or(PROCESSES),
            open_files: spec.limits.open_files.unwrap_or(OPEN_FILES),
            // Nothing here holds a process back: the kernel's limits of a process count its whole life, not its share.
            cpu_millicores: None,
        })
    }

    fn protections(&self) -> Vec<Protection> {
        self.probe.protections.clone()
    }

    fn usage<'a>(&'a self, instances: &'a [InstanceId]) -> BoxFuture<'a, BTreeMap<InstanceId, Usage>> {
        let (layout, instances) = (self.layout.clone(), instances.to_vec());
        Box::pin(async move {
            let walk = tokio::task::spawn_blocking(move || usage::of_trees(&layout, &instances));
            walk.await.unwrap_or_else(|error| {
                tracing::error!(%error, "what instances use could not be measured");
                BTreeMap::new()
            })
        })
    }
}

/// `berth __sandbox <policy> --`, to put in front of a program.
pub(crate) fn sandboxed(berth: &Path, policy: &Policy) -> Result<Vec<String>, RuntimeError> {
    let policy = serde_json::to_string(policy)
        .map_err(|e| RuntimeError::io("write the policy for", berth)(e.into()))?;
    Ok(vec![text(berth), "__sandbox".to_owned(), policy, "--".to_owned()])
}

/// Makes a directory that nobody but Berth's user enters, when it is not there yet.
pub(crate) fn private_directory(path: &Path) -> Result<(), RuntimeError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(RuntimeError::io("create", path))
}

/// Makes `uid` the owner of a directory and of all in it, links as such. Nothing else writes there meanwhile.
pub(crate) fn give(path: &Path, uid: u32) -> Result<(), RuntimeError> {
    let metadata = fs::symlink_metadata(path).map_err(RuntimeError::io("read", path))?;
    if metadata.uid() == uid {
        return Ok(());
    }
    if metadata.is_dir() {
        for entry in fs::read_dir(path).map_err(RuntimeError::io("read", path))? {
            give(&entry.map_err(RuntimeError::io("read", path))?.path(), uid)?;
        }
    }
    std::os::unix::fs::lchown(path, Some(uid), Some(uid))
        .map_err(RuntimeError::io("change the owner of", path))
}

/// Paths of ours are UTF-8: they are made of a checked directory, ids and digests.
pub(crate) fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
