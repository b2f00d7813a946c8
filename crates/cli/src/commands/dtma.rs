//! `berth dtma`: the host agent, and below it the commands that make it a service of this host.

mod check;
mod enrol;
mod install;
mod join;
mod pin;
mod uninstall;
mod upgrade;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use domain::secret::Secret;
use dtma::{Config, DtmaError, Enrolment, OwnLog, Proxy, Relay};
use hop::serve::Listener;
use runtime::Runtime;
use runtime::docker::{DockerRuntime, EgressOptions, Passes, Scope};
use runtime::layout::Layout;
use runtime::process::ProcessRuntime;

use super::child;
use super::manager::Manager;
use crate::args::{Connection, DtmaArgs, DtmaCommand, PackagesChoice, RuntimeChoice};
use crate::data_dir::DataDir;
use crate::error::CliError;
use crate::output::Output;

/// The environment variable in which older hosts have the key of their backend.
const BACKEND_KEY: &str = "BACKEND_TO_DTMA_API_KEY";
/// A shorter key could be guessed.
const LEAST_KEY: usize = 16;

/// Serves until it is told to stop; shims and servers go on then.
pub(crate) async fn run(args: DtmaArgs, connection: &Connection, output: Output) -> Result<(), CliError> {
    match args.command {
        None => {}
        Some(DtmaCommand::Enrol(args)) => return enrol::run(args, connection, output),
        Some(DtmaCommand::Pin) => return pin::run(connection, output),
        Some(DtmaCommand::Join(args)) => return join::run(&args, connection, output).await,
        Some(DtmaCommand::Check(args)) => return check::run(&args, connection, output).await,
        Some(DtmaCommand::Install(args)) => return install::run(&args, connection, output),
        Some(DtmaCommand::Upgrade(args)) => return upgrade::run(&args, output),
        Some(DtmaCommand::Uninstall) => return uninstall::run(output),
    }
    child::end_with_parent(&args.child)?;
    let log = OwnLog::default();
    child::log_into(log.clone())?;
    let stop = child::stop_on_signals()?;
    // Nothing is made here: without an enrolment there is no DTMA.
    let data = DataDir::or_default(connection.data.as_deref());
    let manager = Manager::of_environment()?;
    check_listen(args.listen, args.insecure_http || args.tls, "--listen")?;
    let listener = child::listener(&args.child, args.listen, "--listen")?;
    let address =
        listener.local_addr().map_err(|e| CliError::because("cannot tell the address listened on", e))?;
    // Another one may have been handed over.
    check_listen(address, args.insecure_http || args.tls || args.child.listen_stdin, "the address")?;
    let mut config = Config::read(data.dtma(), args.control_url).map_err(failure)?;
    config.log = log;
    config.tunnel = args.tunnel;
    config.proxy = args.proxy.or(config.proxy);
    if config.tunnel {
        check_tunnel(config.control_url.as_deref(), args.insecure_http)?;
        check_proxy(config.proxy.as_ref(), config.control_url.as_deref().unwrap_or_default())?;
    }
    config.backend_key = backend_key(args.backend_key_file.as_deref(), args.backend_key_from_env)?;
    config.heartbeat = args.heartbeat.period();
    let egress = EgressOptions {
        own_port: listener.local_addr().ok().map(|address| address.port()),
        control: config.control_url.as_deref().and_then(host_and_port),
        nameservers: args.nameserver,
    };
    config.service = args.service.then(std::env::current_exe).and_then(Result::ok);
    config.cleanup_percent = Some(args.cleanup_at).filter(|percent| *percent != 0);
    let relay = match args.packages {
        PackagesChoice::Direct => None,
        PackagesChoice::FromControl => Some(Relay::listen(&config).await.map_err(failure)?),
    };
    let mut fetching = config.proxy.as_ref().map(Proxy::variables).unwrap_or_default();
    let passes = relay.as_ref().map(Relay::passes);
    if let Some(relay) = relay {
        fetching.extend(relay.variables());
        tokio::spawn(relay.serve(stop.clone()));
    }
    let runtime = runtime(args.runtime, args.service, &data, (egress, fetching, passes))?;
    manager.keep_told(Arc::clone(&config.serves), address, stop.clone());
    let listener = if args.tls {
        Listener::Tls(listener, hop::tls::server_config(pin::files(&data)?).map_err(pin::failure)?)
    } else {
        Listener::Both(listener)
    };
    dtma::run(config, runtime, listener, stop.cancelled_owned()).await.map_err(failure)
}

/// Refuses a tunnel that leads nowhere, or through which tokens and secrets would pass in clear unless that is asked for.
fn check_tunnel(control_url: Option<&str>, is_insecure: bool) -> Result<(), CliError> {
    let Some(url) = control_url else {
        return Err(CliError::usage("`--tunnel` needs a control plane to lead to")
            .with_hint("say which with `--control-url URL`, or enrol this host with `berth dtma enrol`"));
    };
    if passes_in_clear(url) && !is_insecure {
        return Err(CliError::usage(format!(
            "the tunnel to {url} would be plain HTTP: the host's token and the secrets of its servers could be read on the way"
        ))
        .with_hint("use an `https://` address, or add `--insecure-http` if that network is yours alone"));
    }
    Ok(())
}

/// Refuses a tunnel through a proxy where the proxy could read it: most pass no other than TLS.
fn check_proxy(proxy: Option<&Proxy>, control_url: &str) -> Result<(), CliError> {
    match proxy {
        Some(proxy) if !control_url.starts_with("https:") => Err(CliError::usage(format!(
            "{control_url} would be reached in clear through the proxy {}",
            proxy.shown()
        ))
        .with_hint(
            "through a proxy the control plane needs an `https://` address: `--https-listen` of `berth up`",
        )),
        _ => Ok(()),
    }
}

/// Whether others can read what is sent to an address: it is plain HTTP, and leaves this machine.
fn passes_in_clear(url: &str) -> bool {
    reqwest::Url::parse(url).is_ok_and(|url| {
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        url.scheme() == "http" && !is_here
    })
}

/// Refuses an address that others reach, where tokens and secrets would pass in clear, unless that is asked for.
pub(crate) fn check_listen(listen: SocketAddr, is_insecure: bool, flag: &str) -> Result<(), CliError> {
    if listen.ip().is_loopback() || is_insecure {
        return Ok(());
    }
    Err(CliError::usage(format!(
        "{flag} {listen} can be reached from other machines, and the host agent would speak plain HTTP: its token and the secrets of \
         servers could be read on the way"
    ))
    .with_hint("listen on 127.0.0.1, serve TLS with `--tls`, or add `--insecure-http` if that network is yours alone"))
}

fn runtime(
    choice: RuntimeChoice,
    in_scopes: bool,
    data: &DataDir,
    (egress, fetching, passes): (EgressOptions, BTreeMap<String, String>, Option<Arc<Passes>>),
) -> Result<Arc<dyn Runtime>, CliError> {
    let berth =
        std::env::current_exe().map_err(|e| CliError::because("cannot tell which program this is", e))?;
    let layout =
        Layout::new(&data.dtma()).map_err(|e| CliError::because("cannot tell where the data is", e))?;
    let scope = match choice {
        RuntimeChoice::Auto => Scope::Images,
        RuntimeChoice::Docker => Scope::Everything,
        // What it had in containers before is taken out of them.
        RuntimeChoice::Process if DockerRuntime::was_used(&layout) => Scope::Nothing,
        RuntimeChoice::Process => {
            let runtime = ProcessRuntime::new(layout, &berth)
                .map_err(|e| CliError::because("the runtime `process` cannot start", e))?
                .fetching(fetching);
            return Ok(Arc::new(if in_scopes { runtime.in_scopes() } else { runtime }));
        }
    };
    let runtime = DockerRuntime::new(layout, &berth, scope, egress)
        .map_err(|e| CliError::because("the runtime `docker` cannot start", e))?
        .fetching(fetching);
    let runtime = match passes {
        Some(passes) => runtime.pulling(passes),
        None => runtime,
    };
    Ok(Arc::new(if in_scopes { runtime.in_scopes() } else { runtime }))
}

/// Where a control plane listens; `None` for what is no address of one, which the DTMA refuses itself.
fn host_and_port(url: &str) -> Option<(String, u16)> {
    let url = reqwest::Url::parse(url).ok()?;
    Some((url.host_str()?.to_owned(), url.port_or_known_default()?))
}

/// The key that older backends share, when it is switched on.
fn backend_key(file: Option<&Path>, from_env: bool) -> Result<Option<Secret>, CliError> {
    let (text, what) = match file {
        Some(path) => {
            let what = format!("`{}`", path.display());
            let text = std::fs::read_to_string(path)
                .map_err(|error| CliError::because(format!("cannot read {what}"), error))?;
            (text, what)
        }
        None if from_env => (std::env::var(BACKEND_KEY).unwrap_or_default(), format!("`{BACKEND_KEY}`")),
        None => return Ok(None),
    };
    let key = text.trim();
    if key.len() < LEAST_KEY || key.contains(|c: char| !c.is_ascii_graphic()) {
        return Err(CliError::usage(format!(
            "{what} holds no key: at least {LEAST_KEY} visible ASCII characters are needed"
        )));
    }
    Ok(Some(Secret::new(key)))
}

/// Makes this machine an environment's.
pub(crate) fn enrol(data: &DataDir, enrolment: &Enrolment) -> Result<(), CliError> {
    dtma::enrol(&data.dtma(), enrolment).map_err(failure)
}

/// The token between this machine's DTMA and the control plane; `None` before the first start.
pub(crate) fn token(data: &DataDir) -> Option<Secret> {
    Config::read(data.dtma(), None).ok().map(|config| config.token)
}

fn failure(error: DtmaError) -> CliError {
    CliError::because("the DTMA cannot start", error)
}
