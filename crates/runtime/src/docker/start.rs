//! Starting an instance's container: made, started, told what it must know.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{CreateContainerOptions, InspectContainerOptions, StartContainerOptions};
use domain::container::Profile;
use domain::ids::InstanceId;
use domain::package::Package;
use domain::shim::{Link, ShimConfig};
use domain::spec::InstanceSpec;
use rustix::fs::{Mode, OFlags};
use tokio::sync::oneshot;

use super::body::{self, Parts, SOCKETS, STATE, WORK};
use super::engine;
use super::handover::Handover;
use super::watch::{self, Watch};
use super::{DockerRuntime, mark};
use crate::config::{self, Places, Server};
use crate::error::RuntimeError;
use crate::process::{give, private_directory, text};
use crate::sandbox::{self, policy::system_paths};
use crate::{Image, Prepared, Shim};

/// A shim asks for its configuration as the first thing it does.
const ASKS_WITHIN: Duration = Duration::from_secs(20);
/// What the engine itself puts into a container.
const OF_THE_ENGINE: [&str; 3] = ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"];
/// Whoever is in the container writes; the directory above lets nobody else of this host in.
const FOR_ANYBODY: u32 = 0o777;

impl DockerRuntime {
    /// Starts the container; nothing of it stays when that fails.
    pub(super) async fn start(
        &self,
        spec: &InstanceSpec,
        prepared: &Prepared,
        image: &Image,
    ) -> Result<Shim, RuntimeError> {
        let started = Box::pin(self.start_container(spec, prepared, image)).await;
        if started.is_err()
            && let Err(error) = self.remove_container(spec.id).await
        {
            tracing::warn!(instance = %spec.id, %error, "a container that did not start cannot be removed; it is tried again");
        }
        started
    }

    async fn start_container(
        &self,
        spec: &InstanceSpec,
        prepared: &Prepared,
        image: &Image,
    ) -> Result<Shim, RuntimeError> {
        let is_image = matches!(spec.package, Package::Oci { .. });
        let [sockets, state, work] =
            [self.layout.socket_dir(spec.id), self.layout.state_dir(spec.id), self.layout.work_dir(spec.id)];
        let user = self.directories(spec, is_image, [&sockets, &state, &work]).await?;
        let binary = self.binary().await?;
        let _network_stays = self.starting.read().await;
        let network = self.network_of(spec).await?;
        let cores = self.cores().await?;
        let volumes = self.volumes_of(spec).await?;
        let labels = mark::record(&self.layout, &self.identity, spec)?;
        let member = self.note_network(spec, &network)?;
        let body = body::body(
            spec,
            Parts {
                image: &image.id,
                user,
                workdir: (!is_image).then_some(WORK),
                labels,
                network,
                binary,
                sockets: &sockets,
                state: &state,
                work: &work,
                host: if is_image { Vec::new() } else { shown(&prepared.read) },
                volumes,
                cores,
            },
        );
        let mut config = shim_config(spec, prepared, image, is_image);

        let handover = Handover::listen(&sockets)?;
        let name = mark::name(spec.id);
        let options = CreateContainerOptions { name: Some(name.clone()), platform: String::new() };
        let id = match self.make(spec.id, options.clone(), body.clone()).await {
            Err(RuntimeError::Engine { status: 409, .. }) => {
                // One that a DTMA asked for and did not live to see, or somebody else's.
                if !self.remove_own(spec.id).await? {
                    return Err(RuntimeError::NameTaken { name });
                }
                self.make(spec.id, options, body).await
            }
            made => made,
        };
        let id = id.map_err(|error| match error {
            RuntimeError::Engine { status: 409, .. } => RuntimeError::NameTaken { name },
            RuntimeError::Engine { status: 404, detail, .. } if detail.contains("No such image") => {
                RuntimeError::ImageGone { image: image.id.clone() }
            }
            error => error,
        })?;
        let started = id.as_str();
        let found = self
            .engine
            .ask("start the container", engine::WORK, |docker| async move {
                docker.start_container(started, None::<StartContainerOptions>).await?;
                docker.inspect_container(started, None::<InspectContainerOptions>).await
            })
            .await;
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                self.free_endpoint(spec.id, &error).await;
                return Err(self.about_port(error).await);
            }
        };
        let pid =
            found.state.as_ref().and_then(|state| u32::try_from(state.pid?).ok()).filter(|pid| *pid != 0);
        let log = self.layout.shim_log(spec.id);
        let Some(pid) = pid else {
            return Err(RuntimeError::ShimEnded { how: watch::words(&self.engine, &id, &log).await });
        };
        // For what it uses, and so that nothing of it survives an engine that is away when it is to end.
        crate::leftovers::record_shim(&self.layout, spec.id, pid)?;
        let watch = Watch::of(pid);
        // Before the shim is told what to start: nothing in there has a network that is not guarded.
        self.admit(spec.id, member, &found).await?;
        config.pid = Some(pid);
        let document = serde_json::to_vec(&config)
            .map_err(|e| RuntimeError::io("write the configuration of", &self.berth)(e.into()))?;
        tokio::select! {
            given = tokio::time::timeout(ASKS_WITHIN, handover.give(pid, &document)) => {
                given.unwrap_or(Err(RuntimeError::ShimSilent { seconds: ASKS_WITHIN.as_secs() }))?;
            }
            () = watch.ended() => {
                return Err(RuntimeError::ShimEnded { how: watch::words(&self.engine, &id, &log).await });
            }
        }

        let (tell, ended) = oneshot::channel();
        let engine = Arc::clone(&self.engine);
        tokio::spawn(async move {
            watch.ended().await;
            // Nobody may be listening any more.
            let _ = tell.send(watch::words(&engine, &id, &log).await);
        });
        Ok(Shim { pid, ended })
    }

    /// Asks the engine for the container; whether it answered is noted.
    async fn make(
        &self,
        instance: InstanceId,
        options: CreateContainerOptions,
        body: ContainerCreateBody,
    ) -> Result<String, RuntimeError> {
        let made = self
            .engine
            .ask("make the container", engine::WORK, |docker| async move {
                Ok(docker.create_container(Some(options), body).await?.id)
            })
            .await;
        if !made.as_ref().is_err_and(RuntimeError::is_passing) {
            mark::answered(&self.layout, instance)?;
        }
        made
    }

    /// The directories that the container writes, as it can write them; the user that it runs as, if that is ours to say.
    async fn directories(
        &self,
        spec: &InstanceSpec,
        is_image: bool,
        directories: [&PathBuf; 3],
    ) -> Result<Option<String>, RuntimeError> {
        for directory in directories {
            private_directory(directory)?;
        }
        if is_image {
            for directory in directories {
                fs::set_permissions(directory, fs::Permissions::from_mode(FOR_ANYBODY))
                    .map_err(RuntimeError::io("change the permissions of", directory))?;
            }
            // Another image, with another user, may have written them before.
            for directory in &directories[..2] {
                open_files(directory).map_err(RuntimeError::io("change the permissions in", *directory))?;
            }
            return Ok(None);
        }
        let uid = self.process.user_of(spec.id).await?;
        // A shim that was a process of this host may have written there before.
        for directory in &directories[..2] {
            for entry in fs::read_dir(directory).map_err(RuntimeError::io("read", *directory))? {
                give(&entry.map_err(RuntimeError::io("read", *directory))?.path(), uid)?;
            }
        }
        for directory in directories {
            give(directory, uid)?;
        }
        Ok(Some(format!("{uid}:{uid}")))
    }

    /// Cores of the engine's host, asked once.
    async fn cores(&self) -> Result<u16, RuntimeError> {
        let asked = async || {
            Ok(self
                .engine
                .info()
                .await?
                .ncpu
                .and_then(|cores| u16::try_from(cores).ok())
                .filter(|cores| *cores != 0)
                .unwrap_or(1))
        };
        self.cores.get_or_try_init(asked).await.copied()
    }
}

fn shim_config(spec: &InstanceSpec, prepared: &Prepared, image: &Image, is_image: bool) -> ShimConfig {
    let state = Path::new(STATE);
    let places = Places {
        socket_dir: SOCKETS.into(),
        log: state.join("server.log"),
        sessions: state.join("sessions"),
        // Each instance's own: what all could write, one could spoil for the others.
        facts: state.join("facts"),
    };
    let mut command = prepared.command.clone();
    command.extend(config::arguments(spec, WORK));
    let is_strict = body::profile(spec) == Profile::Strict;
    let mut env = if is_image && !is_strict {
        BTreeMap::new()
    } else if is_image {
        // The home of the image's user is on a root that cannot be written.
        [("HOME".to_owned(), WORK.to_owned())].into()
    } else {
        config::user_variables(WORK, "/tmp".to_owned())
    };
    env.extend(prepared.env.clone());
    config::add_settings(&mut env, spec, WORK);
    let mut link = config::link(spec, spec.launch.port);
    if let Link::Tool { stop_signal, .. } = &mut link {
        stop_signal.clone_from(&image.stop_signal);
    }
    let filter = is_strict && sandbox::has_filter();
    let server = Server { link, command, cwd: image.workdir.clone(), env };
    ShimConfig { filter, ..config::shim_config(spec, places, server) }
}

/// The host's files that a container shows: the system's, and what the package needs beyond them.
fn shown(read: &[PathBuf]) -> Vec<String> {
    let system = system_paths();
    let is_covered = |path: &&PathBuf| {
        let target = fs::canonicalize(path);
        let target = target.as_ref().unwrap_or(path);
        !system.iter().any(|part| target.starts_with(part) && path.starts_with(part))
    };
    let all = system.iter().chain(read.iter().filter(is_covered)).map(|path| text(path));
    let once: BTreeSet<String> = all.filter(|path| !OF_THE_ENGINE.contains(&path.as_str())).collect();
    once.into_iter().collect()
}

/// Lets every user read and write the regular files of a directory, following no link: what lies there was written by code
/// that nobody trusts.
fn open_files(directory: &Path) -> std::io::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let handle = rustix::fs::open(directory, flags, Mode::empty())?;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if !entry.file_type()?.is_file() {
            continue;
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = fs::File::from(rustix::fs::openat(&handle, entry.file_name(), flags, Mode::empty())?);
        if file.metadata()?.is_file() {
            file.set_permissions(fs::Permissions::from_mode(0o666))?;
        }
    }
    Ok(())
}
