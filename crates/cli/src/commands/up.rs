//! `berth up`: everything on this machine. Prepares the data directory, supervises `berth server` and `berth dtma`,
//! and says how to go on.

use std::ffi::OsString;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use api::dtma::{Protection, ShutdownRequest};
use api::environments::Environment;
use api::instances::Instance;
use control::Public;
use domain::secret::Secret;
use domain::status::InstanceStatus;
use dtma::Enrolment;
use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::child;
use crate::args::{Connection, RuntimeChoice, UpArgs};
use crate::client::{Client, http_client};
use crate::data_dir::{self, DataDir};
use crate::error::CliError;
use crate::output::Output;
use crate::settings::{
    ClientFile, DATABASE_VARIABLE, DROPLET_VARIABLES, MASTER_KEY_VARIABLE, Settings, WEBHOOKS_VARIABLE,
};
use crate::supervisor::{self, Supervisor, Worker};

const SERVER: &str = "server";
const DTMA: &str = "dtma";
const WELCOME: &str = "welcome";
/// How long the summary waits for the `welcome` server; afterwards it is printed with what is known.
const WELCOME_PATIENCE: Duration = Duration::from_secs(30);
/// How long instances have to stop.
const STOP_PATIENCE: Duration = Duration::from_secs(20);
/// How long a process of Berth's own has to end after SIGTERM.
const END_PATIENCE: Duration = Duration::from_secs(8);

/// Runs until it is told to stop.
pub(crate) async fn run(args: UpArgs, connection: &Connection, output: Output) -> Result<(), CliError> {
    // Signals are watched from the start, so that none is missed between two steps.
    let mut signals = signals()?;
    super::dtma::check_listen(args.dtma_listen, args.insecure_http, "--dtma-listen")?;
    // What cannot be used is said now, and not by a server that ends again and again.
    args.control.check()?;
    let data = DataDir::or_default(connection.data.as_deref());
    let bound = bind(&args);
    if bound.is_err() && !data.path().exists() {
        // Nothing is made for a start that cannot be.
        return bound.map(drop);
    }
    let data = data.create()?;
    // Who holds the directory most likely holds the addresses too, and is the better answer.
    let mut lock = data.lock()?;
    let sockets = bound?;
    let place = Place::of(&args, &data, &sockets)?;
    lock.describe(&format!("pid: {}\nurl: {}\ndtma: {}\n", std::process::id(), place.url, place.dtma))?;

    let (token, link) = prepare(&args, &data, &place).await?;
    let settings = Settings { url: place.url.clone(), token, tls_pin: None };
    data_dir::make(&data.logs())?;
    let workers = workers(&args, &data, &place, sockets);
    let mut supervisor = Supervisor::start(workers, output)?;

    let client = Client::new(settings)?;
    tokio::select! {
        welcome = welcome(&client, output) => {
            let protections = protections(&client).await;
            summary(&data, &place, &supervisor, (welcome.as_ref(), link.as_ref()), &protections, connection, output)?;
            signals.recv().await;
        }
        _ = signals.recv() => {}
    }
    output.say("stopping every instance; once more Ctrl-C ends at once");
    tokio::select! {
        done = stop(&mut supervisor, &data, &place, output) => done,
        _ = signals.recv() => {
            supervisor.end(DTMA, Signal::KILL).await;
            supervisor.end(SERVER, Signal::KILL).await;
            supervisor.ended(DTMA, END_PATIENCE).await;
            Err(CliError::failed("ended at once: instances may still run")
                .with_hint("`berth up` on the same data directory takes them over again"))
        }
    }
}

/// What is listened on.
#[derive(Debug)]
struct Sockets {
    server: TcpListener,
    https: Option<TcpListener>,
    dtma: TcpListener,
}

fn bind(args: &UpArgs) -> Result<Sockets, CliError> {
    let https = args.public.https_listen.map(|address| supervisor::bind(address, "--https-listen"));
    // The server binds it; what keeps it from that is said now.
    args.public.http_redirect.map(|address| supervisor::bind(address, "--http-redirect")).transpose()?;
    Ok(Sockets {
        server: supervisor::bind(args.listen, "--listen")?,
        https: https.transpose()?,
        dtma: supervisor::bind(args.dtma_listen, "--dtma-listen")?,
    })
}

/// Where everything is.
#[derive(Debug)]
struct Place {
    /// The control plane, as a client on this machine reaches it.
    url: String,
    /// The control plane's own address.
    listen: SocketAddr,
    /// Where the control plane is served over TLS.
    https: Option<SocketAddr>,
    /// The control plane, as others reach it.
    public: Public,
    /// The DTMA, as the control plane reaches it.
    dtma: SocketAddr,
}

impl Place {
    /// From what was really bound: port 0 has become a port by now.
    fn of(args: &UpArgs, data: &DataDir, sockets: &Sockets) -> Result<Self, CliError> {
        let address = |listener: &TcpListener| {
            listener.local_addr().map_err(|e| CliError::because("cannot tell the address listened on", e))
        };
        let listen = address(&sockets.server)?;
        let https = sockets.https.as_ref().map(address).transpose()?;
        let dtma = child::reachable(address(&sockets.dtma)?);
        // A certificate that cannot be used is said now, and not by a server that ends again and again.
        let public = super::public::front(&args.public, data, listen, https)?.public;
        Ok(Self { url: format!("http://{}", child::reachable(listen)), listen, https, public, dtma })
    }
}

/// The rows of the first start, and the files that the two processes and the command line read. Gives the command line's token, and a link
/// that signs whoever looks after the installation in, once.
async fn prepare(args: &UpArgs, data: &DataDir, place: &Place) -> Result<(Secret, Option<Secret>), CliError> {
    data_dir::make(&data.control())?;
    data_dir::make(&data.dtma())?;
    let config = super::server::config(
        data,
        args.database.as_ref(),
        &args.control,
        (place.public.clone(), super::public::registries(&args.public)?),
        Some(place.dtma),
    )?;
    let setup = control::setup(&config).await.map_err(super::server::failure)?;
    let environment = setup.environment.ok_or_else(|| CliError::failed("this machine is no environment"))?;
    let enrolment = Enrolment {
        environment: environment.id,
        token: environment.dtma_token,
        control_url: None,
        tls_pin: None,
        proxy: None,
    };
    super::dtma::enrol(data, &enrolment)?;
    // Tokens are stored as hashes, so the one of the first start is only in the file that this start replaces.
    let token = match setup.api_token.or_else(|| kept_token(&data.client_file())) {
        Some(token) => token,
        None => control::new_api_token(&config, "berth up").await.map_err(super::server::failure)?,
    };
    let file = ClientFile { url: place.url.clone(), token: token.clone(), tls_pin: None };
    let text = toml::to_string(&file).map_err(|e| CliError::because("cannot write the client file", e))?;
    data_dir::write_private(&data.client_file(), &text)?;
    let link = match control::recover(&config, "berth up", None, false).await {
        Ok(made) => Some(Secret::new(format!("{}{}", place.public.url(), made.link_path.expose()))),
        // Nobody looks after the installation any more: everything runs all the same.
        Err(control::StartError::Recovery(_)) => None,
        Err(error) => return Err(super::server::failure(error)),
    };
    Ok((token, link))
}

/// The token of an earlier start; `None` when the file is gone or damaged, and a new token is in order.
fn kept_token(path: &Path) -> Option<Secret> {
    let text = std::fs::read_to_string(path).ok()?;
    toml::from_str::<ClientFile>(&text).ok().map(|file| file.token)
}

fn workers(args: &UpArgs, data: &DataDir, place: &Place, sockets: Sockets) -> Vec<Worker> {
    let own = |words: &[&str]| -> Vec<OsString> {
        let mut all: Vec<OsString> = words.iter().map(OsString::from).collect();
        all.extend([OsString::from("--data"), data.path().into()]);
        all
    };
    let mut server =
        own(&["server", "--listen", &place.listen.to_string(), "--dtma", &place.dtma.to_string()]);
    server.extend(super::public::arguments(&args.public, place.https));
    server.extend(args.control.arguments());
    let runtime = match args.runtime {
        RuntimeChoice::Auto => "auto",
        RuntimeChoice::Docker => "docker",
        RuntimeChoice::Process => "process",
    };
    let mut dtma = own(&["dtma", "--control-url", &place.url, "--runtime", runtime]);
    if let Some(period) = args.heartbeat.heartbeat_ms {
        for arguments in [&mut server, &mut dtma] {
            arguments.extend(["--heartbeat-ms", &period.to_string()].map(OsString::from));
        }
    }
    let log = |name: &str| data.logs().join(format!("{name}.log"));
    // An argument can be read by everybody on the machine; a database's address may hold a password.
    let mut secret_environment: Vec<(&'static str, Secret)> =
        args.database.iter().map(|database| (DATABASE_VARIABLE, database.clone())).collect();
    let told = DROPLET_VARIABLES.into_iter().filter_map(|name| Some((name, std::env::var(name).ok()?)));
    secret_environment.extend(told.map(|(name, value)| (name, Secret::new(value))));
    let key = std::env::var(MASTER_KEY_VARIABLE).ok().map(|key| (MASTER_KEY_VARIABLE, Secret::new(key)));
    secret_environment.extend(key);
    secret_environment.extend(args.control.alerts.webhooks().map(|all| (WEBHOOKS_VARIABLE, all)));
    vec![
        Worker {
            name: DTMA,
            arguments: dtma,
            environment: Vec::new(),
            listener: Some(sockets.dtma),
            second_listener: None,
            log: log(DTMA),
        },
        Worker {
            name: SERVER,
            arguments: server,
            environment: secret_environment,
            listener: Some(sockets.server),
            second_listener: sockets.https,
            log: log(SERVER),
        },
    ]
}

/// Waits until the `welcome` server runs; `None` when it is not there or takes too long.
async fn welcome(client: &Client, output: Output) -> Option<Instance> {
    let mut steps = output.steps();
    let deadline = Instant::now() + WELCOME_PATIENCE;
    let mut last = None;
    while Instant::now() < deadline {
        let found: Result<Instance, CliError> = client.get(&Client::instance_path(WELCOME, "")).await;
        match found {
            Ok(instance) if instance.status.is_well() => {
                steps.end();
                return Some(instance);
            }
            Ok(instance) if instance.status == InstanceStatus::Stopped => {
                steps.end();
                return Some(instance);
            }
            Ok(instance) => {
                steps.show(&format!("{WELCOME}: {}", instance.status), None);
                last = Some(instance);
            }
            Err(CliError::Refused(detail)) if detail.code == api::errors::ErrorCode::NotFound => {
                steps.end();
                return None;
            }
            // The server is not up yet.
            Err(_) => steps.show("starting", None),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    steps.end();
    let why = last.as_ref().and_then(|instance| instance.message.clone()).unwrap_or_default();
    output.warn(&format!("`{WELCOME}` does not run after {} s: {why}", WELCOME_PATIENCE.as_secs()));
    last
}

/// What servers run under on this machine; empty while its DTMA has not reported.
async fn protections(client: &Client) -> Vec<Protection> {
    let local: Result<Environment, CliError> = client.get("/environments/local").await;
    local.map(|environment| environment.protections).unwrap_or_default()
}

fn summary(
    data: &DataDir,
    place: &Place,
    supervisor: &Supervisor,
    (welcome, link): (Option<&Instance>, Option<&Secret>),
    protections: &[Protection],
    connection: &Connection,
    output: Output,
) -> Result<(), CliError> {
    let pids = supervisor.pids();
    let pid = |name| {
        let pid = pids.get(name).copied().flatten();
        pid.map_or_else(|| "starting".to_owned(), |pid| pid.as_raw_nonzero().to_string())
    };
    if output.json() {
        return output.document(&serde_json::json!({
            "url": place.url,
            "public_url": place.public.url(),
            "sign_in": link.map(Secret::expose),
            "tls_pin": place.public.pin().map(|pin| pin.to_string()),
            "dtma": place.dtma.to_string(),
            "data": data.path(),
            "pid": std::process::id(),
            "welcome": welcome,
            "protections": protections,
        }));
    }
    let mut lines = vec![
        "Berth is running.".to_owned(),
        String::new(),
        format!("  address  {}", place.url),
        format!("  data     {}", data.path().display()),
        format!("  server   process {} on {}", pid(SERVER), place.listen),
        format!("  dtma     process {} on {}", pid(DTMA), place.dtma),
    ];
    if place.public.url() != place.url {
        lines.push(format!("  public   {}", place.public.url()));
    }
    lines.extend(place.public.pin().map(|pin| format!("  TLS pin  {pin}")));
    let granted: Vec<&str> =
        protections.iter().filter(|protection| protection.granted).map(|p| p.name.as_str()).collect();
    if !granted.is_empty() {
        lines.push(format!("  sandbox  {}", granted.join(", ")));
    }
    let missing = protections.iter().filter(|protection| !protection.granted);
    lines.extend(missing.map(|missing| format!("           no {}: {}", missing.name, missing.detail)));
    let berth = this_command(connection);
    let mut step = |what: &str, command: &str| {
        lines.extend([String::new(), what.to_owned(), String::new(), format!("  {berth} {command}")]);
    };
    if let Some(instance) = welcome {
        let (name, status, url) = (&instance.name, instance.status, &instance.url);
        step(
            &format!("`{name}` is {status} at the MCP address {url}; connect a client:"),
            &format!("connect {WELCOME}"),
        );
        step("Call a tool, in a second terminal:", &format!("call {WELCOME} echo '{{\"message\":\"hi\"}}'"));
    }
    step("Deploy a server:", "deploy everything --wait");
    if let Some(link) = link {
        let words =
            "Or in a browser; this link works once, for 15 minutes, and `berth recover` makes another:";
        lines.extend(["", words, "", &format!("  {}", link.expose())].map(str::to_owned));
    }
    lines.push(String::new());
    lines.push(format!("Ctrl-C here stops everything; `{berth} up` brings it back as it was."));
    output.data(&lines.join("\n"))
}

/// How this very command is typed again.
fn this_command(connection: &Connection) -> String {
    let typed = std::env::args().next().unwrap_or_else(|| "berth".to_owned());
    let by_cargo = std::env::var_os("CARGO_MANIFEST_DIR").is_some();
    let program = if by_cargo {
        let release = if typed.contains("/release/") { " --release" } else { "" };
        format!("cargo run{release} --")
    } else {
        typed
    };
    match &connection.data {
        Some(data) if data != Path::new(data_dir::DEFAULT) => format!("{program} --data {}", data.display()),
        _ => program,
    }
}

/// Instances first, by the one that started them; then the two processes.
async fn stop(
    supervisor: &mut Supervisor,
    data: &DataDir,
    place: &Place,
    output: Output,
) -> Result<(), CliError> {
    supervisor.let_end(DTMA).await;
    let stopped = tokio::time::timeout(STOP_PATIENCE, stop_instances(data, place)).await;
    let mut left = None;
    if !matches!(stopped, Ok(Ok(()))) {
        let error = match stopped {
            Ok(Err(error)) => error,
            _ => CliError::failed(format!("the DTMA did not answer within {} s", STOP_PATIENCE.as_secs())),
        };
        left = Some(error.with_hint("instances may still run; `berth up` takes them over again"));
        supervisor.end(DTMA, Signal::TERM).await;
    }
    supervisor.end(SERVER, Signal::TERM).await;
    for name in [SERVER, DTMA] {
        if !supervisor.ended(name, END_PATIENCE).await {
            output.warn(&format!("{name} did not end within {} s and is killed", END_PATIENCE.as_secs()));
            supervisor.end(name, Signal::KILL).await;
            supervisor.ended(name, END_PATIENCE).await;
        }
    }
    if let Some(error) = left {
        return Err(error);
    }
    output.say("everything is stopped");
    Ok(())
}

/// Tries until the DTMA takes it: it may just be being started again.
async fn stop_instances(data: &DataDir, place: &Place) -> Result<(), CliError> {
    let token = super::dtma::token(data)
        .ok_or_else(|| CliError::failed("the DTMA's token is gone from the data directory"))?;
    let url = format!("http://{}", place.dtma);
    let http = http_client(&url, None)?;
    loop {
        let request = http
            .post(format!("{url}/v1/shutdown"))
            .bearer_auth(token.expose())
            .json(&ShutdownRequest { stop_instances: true });
        match request.send().await {
            Ok(answer) if answer.status().is_success() => return Ok(()),
            Ok(answer) => {
                return Err(CliError::failed(format!(
                    "the DTMA answered {} when asked to stop",
                    answer.status()
                )));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// SIGINT, SIGTERM and SIGHUP, all alike: a closed terminal stops what was started in it.
fn signals() -> Result<mpsc::Receiver<()>, CliError> {
    let (told, signals) = mpsc::channel(4);
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        let mut one = signal(kind).map_err(|e| CliError::because("cannot watch for signals", e))?;
        let told = told.clone();
        tokio::spawn(async move {
            while one.recv().await.is_some() {
                if told.send(()).await.is_err() {
                    return;
                }
            }
        });
    }
    Ok(signals)
}
