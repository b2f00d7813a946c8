//! Why a runtime could not do what it was asked, in words for the owner of the instance.

use std::io;
use std::path::PathBuf;

/// One variant for each thing that a caller or an owner can do about it.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The registry has no such package: check the name.
    #[error("{registry} has no package `{package}`: check its name")]
    UnknownPackage {
        /// `npm` or `PyPI`.
        registry: &'static str,
        /// The name asked for.
        package: String,
    },
    /// The package has no such version: choose another, or none for the newest.
    #[error(
        "`{package}` has no version {version} on {registry}{known}: leave the version out for the newest"
    )]
    UnknownVersion {
        /// `npm` or `PyPI`.
        registry: &'static str,
        /// The name asked for.
        package: String,
        /// The version asked for.
        version: String,
        /// Empty, or ` (it has 1.0, 1.1)`.
        known: String,
    },
    /// PyPI has the project, but no wheel of it fits this host.
    #[error(
        "`{package}` has no wheel for {interpreter}: choose another version, or set `install_scripts` to let \
         source distributions build"
    )]
    NoWheel {
        /// The project.
        package: String,
        /// Such as `Python 3.11`.
        interpreter: String,
    },
    /// A constraint cannot be read.
    #[error("constraint `{constraint}` cannot be used: {reason}")]
    Constraint {
        /// As it was given.
        constraint: String,
        /// What it must be.
        reason: String,
    },
    /// No set of versions satisfies the package and its constraints.
    #[error("no versions satisfy `{package}` together with its constraints: {detail}")]
    Unsatisfiable {
        /// The package.
        package: String,
        /// What the installer said.
        detail: String,
    },
    /// The package has several executables, and none is named as it: `executable` must name one.
    #[error("`{package}` has several executables, set `executable` to one of: {}", executables.join(", "))]
    AmbiguousExecutable {
        /// The package.
        package: String,
        /// Their names, sorted.
        executables: Vec<String>,
    },
    /// `executable` names none of the package's.
    #[error(
        "`{package}` has no executable `{executable}`{}",
        if executables.is_empty() { String::new() } else { format!(", it has: {}", executables.join(", ")) }
    )]
    UnknownExecutable {
        /// The package.
        package: String,
        /// The name asked for.
        executable: String,
        /// The names it has, sorted.
        executables: Vec<String>,
    },
    /// The package is a library.
    #[error("`{package}` has no executable: it is a library, not a server")]
    NoExecutable {
        /// The package.
        package: String,
    },
    /// Callers bring values of their own, and nothing here would keep one from another's.
    #[error("each caller brings values of their own, which must be kept apart, and {why}")]
    EachCaller {
        /// Why this host cannot.
        why: &'static str,
    },
    /// A container image on a host whose runtime starts processes.
    #[error(
        "`{image}` is a container image, and this host's DTMA runs with `--runtime process`: start it with `--runtime auto`"
    )]
    NeedsDocker {
        /// The image.
        image: String,
    },
    /// Directories are mounted into containers, so the engine must be of this host.
    #[error(
        "DOCKER_HOST is `{address}`, which names no engine of this host: write `unix:///PATH`, or unset it"
    )]
    EngineAddress {
        /// As it was given.
        address: String,
    },
    /// No engine answers. It is tried again.
    #[error(
        "no Docker engine answers at {socket} ({detail}): start it, with `systemctl start docker` on most hosts"
    )]
    EngineAway {
        /// Where it should listen.
        socket: PathBuf,
        /// What was seen.
        detail: String,
    },
    /// The engine takes questions and does not answer. It is tried again.
    #[error(
        "the Docker engine at {socket} could not {action} within {seconds} s: it hangs or is overloaded; \
         `systemctl restart docker` helps on most hosts"
    )]
    EngineHangs {
        /// Where it listens.
        socket: PathBuf,
        /// Such as `start the container`.
        action: &'static str,
        /// How long it had.
        seconds: u64,
    },
    /// The engine answers, and its containerd does not, or it is about to end itself. It is tried again.
    #[error(
        "the Docker engine could not {action}, because it or its containerd is being started again ({detail}); \
         if that lasts, `systemctl restart docker` helps on most hosts"
    )]
    EngineRestarts {
        /// Such as `start the container`.
        action: &'static str,
        /// Its words.
        detail: String,
    },
    /// The engine refused.
    #[error("the Docker engine could not {action}: {detail}")]
    Engine {
        /// Such as `start the container`.
        action: &'static str,
        /// Its HTTP status.
        status: u16,
        /// Its words.
        detail: String,
    },
    /// Another container has a port of the instance's.
    #[error(
        "port {port} of this host is published by the container `{container}`: stop that one, or publish another port"
    )]
    PortTaken {
        /// The port of this host.
        port: u16,
        /// Whose it is.
        container: String,
    },
    /// The engine takes a port for published that no container has: one that was killed while it published it forgets to
    /// give it back, and remembers at its next start.
    #[error(
        "the Docker engine keeps port {port} although no container has it, as it does after being killed: \
         `systemctl restart docker` frees it"
    )]
    PortKept {
        /// The port of this host.
        port: u16,
    },
    /// Only root can give directories to a container's users.
    #[error("containers need a DTMA that runs as root: start Berth as root, or use `--runtime process`")]
    NeedsRoot,
    /// Ports of a container that has no network.
    #[error(
        "an instance with `egress` `none` has no network, so it can publish no port: use `open`, or publish none"
    )]
    NoNetwork,
    /// A volume that is not ours has the name of an instance's.
    #[error(
        "a volume that is not Berth's is called `{name}`: remove it with `docker volume rm {name}` if nobody needs it"
    )]
    VolumeTaken {
        /// Its name.
        name: String,
    },
    /// A container that is not ours has the instance's name.
    #[error(
        "a container that is not Berth's is called `{name}`: rename it with `docker rename {name} OTHER`"
    )]
    NameTaken {
        /// The name.
        name: String,
    },
    /// No registry has the image, or none shows it.
    #[error(
        "there is no image `{image}`: check its name; a private one needs `berth registry login` ({detail})"
    )]
    UnknownImage {
        /// As it was asked for.
        image: String,
        /// What the engine said.
        detail: String,
    },
    /// The image was there and is not any more. It is fetched again.
    #[error("the image {image} was removed from this host's Docker engine")]
    ImageGone {
        /// The engine's id of it.
        image: String,
    },
    /// The image is of another kind of machine.
    #[error("`{image}` {platform}, this host is {host}: choose another tag")]
    WrongPlatform {
        /// The image.
        image: String,
        /// Such as `is for linux/arm64`.
        platform: String,
        /// Such as `linux/amd64`.
        host: String,
    },
    /// The registry wants credentials, or others.
    #[error(
        "{registry} {given} for `{image}`: give them with `berth registry login {registry}`, or run `docker login {registry}` on the host as the \
         user that Berth runs as"
    )]
    CredentialsRefused {
        /// The registry.
        registry: String,
        /// `wants credentials` or `refused the credentials`.
        given: &'static str,
        /// The image.
        image: String,
    },
    /// The registry of an image did not answer.
    #[error("{registry} cannot be reached from this host's Docker engine: {detail}")]
    RegistryAway {
        /// The registry.
        registry: String,
        /// What the engine said.
        detail: String,
    },
    /// The image says nothing of how it is started.
    #[error("`{image}` has neither entry point nor command: say with `--arg` what it is to run")]
    NoCommand {
        /// The image.
        image: String,
    },
    /// Nothing can run under the limit.
    #[error("`{limit}` is {given}, too little for any server: give it {least} or more")]
    LimitTooLow {
        /// Its name.
        limit: &'static str,
        /// What was given.
        given: u64,
        /// What is needed.
        least: u64,
    },
    /// A limit of what is reached, for what is no container.
    #[error(
        "only containers can be limited to a list of what they reach: use `egress` `open` or `none`, or a host whose DTMA runs with `--runtime docker`"
    )]
    NoEgress,
    /// A process that cannot be without a network.
    #[error("it cannot be without a network: {why}; or use `egress` `open`")]
    NeedsNetwork {
        /// Why, in words for its owner.
        why: &'static str,
    },
    /// A list of hosts is asked for, and it cannot be enforced here.
    #[error("what an instance reaches cannot be limited to a list on this host: {reason}")]
    NoEgressRules {
        /// Why, and what to do.
        reason: String,
    },
    /// The resolver of instances cannot listen.
    #[error(
        "names cannot be resolved for instances: port 53 of {address} cannot be listened on; if another resolver of this \
         host has it, let that one listen on its own addresses only"
    )]
    Resolver {
        /// The bridge's address.
        address: std::net::Ipv4Addr,
        /// The system's word.
        source: io::Error,
    },
    /// The shim ended before it had asked for its configuration.
    #[error("the shim ended at once in its container: {how}")]
    ShimEnded {
        /// Its exit code and last words.
        how: String,
    },
    /// The shim did not ask for its configuration.
    #[error("the shim did not ask for its configuration within {seconds} s of its container's start")]
    ShimSilent {
        /// How long it had.
        seconds: u64,
    },
    /// Nothing lies where `file:` points.
    #[error("there is no file or directory {path} on this host: check the path")]
    UnknownFile {
        /// Where it should be.
        path: PathBuf,
    },
    /// What `file:` names cannot be started.
    #[error(
        "{path} is nothing that can be started: it must be executable (`chmod +x`), a script for Node, or a \
         directory with an executable or a `bin` in its package.json"
    )]
    NotExecutable {
        /// What was found.
        path: PathBuf,
    },
    /// What `file:` names holds something that cannot be copied.
    #[error("{path} cannot be copied: {reason}")]
    NotCopied {
        /// What it is about.
        path: PathBuf,
        /// Why, in words for its owner.
        reason: String,
    },
    /// The host lacks a program.
    #[error("`{program}` is needed on this host and was not found{detail}: install it with `{install}`")]
    MissingProgram {
        /// Such as `npm`.
        program: String,
        /// Empty, or what was found instead, such as ` (pip 20.3 is too old, 22.2 is needed)`.
        detail: String,
        /// The command that installs it on Debian and Ubuntu.
        install: String,
    },
    /// The registry did not answer.
    #[error("{registry} cannot be reached from this host: {detail}")]
    Unreachable {
        /// `npm` or `PyPI`.
        registry: &'static str,
        /// What the installer said.
        detail: String,
    },
    /// The disk is full.
    #[error("no space is left on the disk of {path}: free some and try again")]
    NoSpace {
        /// What could not be written.
        path: PathBuf,
    },
    /// The install took too long and was ended.
    #[error("installing `{package}` took longer than {minutes} minutes and was ended: {detail}")]
    TimedOut {
        /// The package.
        package: String,
        /// How long it may take.
        minutes: u64,
        /// The last thing the installer said.
        detail: String,
    },
    /// The installer failed for another reason.
    #[error("installing `{package}` failed: {detail}")]
    Install {
        /// The package.
        package: String,
        /// Its last lines.
        detail: String,
    },
    /// No built-in server has this name.
    #[error("no built-in server is called `{name}`: there is `welcome`")]
    UnknownBuiltin {
        /// The name asked for.
        name: String,
    },
    /// The kernel grants nothing that keeps a server from Berth's own files.
    #[error(
        "this host cannot isolate a server: neither mount namespaces nor Landlock are granted. Run Berth as \
         root, allow unprivileged user namespaces, or use a kernel with Landlock (5.13)"
    )]
    NoSandbox,
    /// Servers would see Berth's own files.
    #[error(
        "the data directory {data} lies inside {visible}, which servers can read: move it elsewhere with `--data`"
    )]
    DataVisible {
        /// The data directory.
        data: PathBuf,
        /// The directory that servers read.
        visible: PathBuf,
    },
    /// Processes of the instance did not die.
    #[error("process {pid} of the instance is still there after being killed")]
    Unkillable {
        /// Its process id.
        pid: u32,
    },
    /// The operating system refused something.
    #[error("cannot {action} {path}")]
    Io {
        /// Such as `create`.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl RuntimeError {
    /// Whether it passes by itself once somebody looks after the host, so that it is tried again.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::EngineAway { .. } | Self::EngineHangs { .. } | Self::EngineRestarts { .. })
    }

    /// Whether the same may go well later although nobody changes what is wanted: room was made, a registry is back, a
    /// program was installed, an engine or an installer said something unknown.
    pub fn may_mend(&self) -> bool {
        matches!(
            self,
            Self::NoSpace { .. }
                | Self::RegistryAway { .. }
                | Self::Unreachable { .. }
                | Self::TimedOut { .. }
                | Self::Install { .. }
                | Self::Engine { .. }
                | Self::ImageGone { .. }
                | Self::MissingProgram { .. }
                | Self::Io { .. }
        ) || self.is_passing()
    }

    /// For `map_err`: the error of doing `action` on `path`; a full disk is its own.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace { path },
            _ => Self::Io { action, path, source },
        }
    }
}
