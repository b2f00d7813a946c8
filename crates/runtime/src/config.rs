//! What every runtime tells a shim: the parts of its configuration that do not depend on where it runs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use domain::catalog::Transport;
use domain::package::Package;
use domain::shim::{EachCaller, Link, Opening, ShimConfig};
use domain::spec::InstanceSpec;

/// Calls in flight at one server, all clients together.
const MAX_IN_FLIGHT: usize = 256;
/// Seconds until a server must have answered `initialize`: the first start of a large package reads a lot.
const STARTUP_SECONDS: u64 = 60;
/// Milliseconds after which a process that nobody has called is stopped.
const IDLE_MS: u64 = 600_000;
/// Processes and threads of one server; Node alone has eleven.
pub(crate) const PROCESSES: u64 = 512;
/// Open files of each process of a server.
pub(crate) const OPEN_FILES: u64 = 4096;
/// What stands for the instance's writable directory in arguments and settings.
const WORK: &str = "{work}";

/// Where a shim has its files, as it sees them itself.
pub(crate) struct Places {
    pub(crate) socket_dir: PathBuf,
    pub(crate) log: PathBuf,
    pub(crate) sessions: PathBuf,
    pub(crate) facts: PathBuf,
}

/// A server's command as its shim is to run it.
pub(crate) struct Server {
    pub(crate) link: Link,
    pub(crate) command: Vec<String>,
    pub(crate) cwd: PathBuf,
    pub(crate) env: BTreeMap<String, String>,
}

/// All a shim is told.
pub(crate) fn shim_config(spec: &InstanceSpec, places: Places, server: Server) -> ShimConfig {
    let both = matches!(spec.package, Package::Builtin { .. });
    ShimConfig {
        instance: spec.id,
        name: spec.name.clone(),
        generation: spec.generation,
        pid: None,
        socket_dir: places.socket_dir,
        log: places.log,
        sessions: places.sessions,
        facts: places.facts,
        mode: spec.launch.mode.unwrap_or_default(),
        strict_sessions: spec.launch.strict_sessions,
        idle_ms: IDLE_MS,
        sleep_ms: spec.launch.sleep_after_seconds.map(|seconds| seconds.saturating_mul(1000)),
        link: server.link,
        command: server.command,
        cwd: server.cwd,
        env: server.env,
        secrets: spec.secrets.clone(),
        key: spec.key.clone(),
        opening: if both { Opening::Both } else { Opening::Legacy },
        startup_ms: spec.limits.startup_seconds.unwrap_or(STARTUP_SECONDS).saturating_mul(1000),
        max_in_flight: MAX_IN_FLIGHT,
        each_caller: (!spec.launch.each_caller.is_empty()).then(|| EachCaller {
            variables: spec.launch.each_caller.values().cloned().collect(),
            work: None,
            uid: None,
        }),
        filter: false,
    }
}

/// How a server that is started here is reached; on a port of its own only where no other server has it.
pub(crate) fn link(spec: &InstanceSpec, port: Option<u16>) -> Link {
    let path = |otherwise: &str| spec.launch.path.clone().unwrap_or_else(|| otherwise.to_owned());
    if let Some(container) = &spec.launch.container {
        return Link::Tool { health: container.health.clone(), stop_signal: None };
    }
    match spec.launch.transport {
        Transport::Stdio => Link::Stdio,
        Transport::Http => Link::Port { port, path: path("/mcp"), sse: false },
        Transport::Sse => Link::Port { port, path: path("/sse"), sse: true },
    }
}

/// The instance's own arguments.
pub(crate) fn arguments<'a>(spec: &'a InstanceSpec, work: &'a str) -> impl Iterator<Item = String> + 'a {
    spec.launch.args.iter().map(move |argument| argument.replace(WORK, work))
}

/// The variables of a server that runs in the host's files, as a user of its own or in a container's.
pub(crate) fn user_variables(work: &str, temporary: String) -> BTreeMap<String, String> {
    [
        ("HOME", work.to_owned()),
        ("LANG", "C.UTF-8".to_owned()),
        ("LOGNAME", "server".to_owned()),
        ("TMPDIR", temporary),
        ("USER", "server".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// Puts the settings of entry and instance over `env`: a setting has the last word over what its entry presets.
pub(crate) fn add_settings(env: &mut BTreeMap<String, String>, spec: &InstanceSpec, work: &str) {
    let own = spec.launch.env.iter().chain(&spec.env);
    env.extend(own.map(|(name, value)| (name.clone(), value.replace(WORK, work))));
}
