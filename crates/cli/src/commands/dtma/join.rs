//! `berth dtma join`: makes this machine an environment, from the first look to the first report. Each step is said.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use api::enrolments::{ENROL_PATH, EnrolRequest, Enrolled, EnrolledWay};
use clap::ValueEnum as _;
use domain::checks::{Check, Facts, Stage, judge};
use domain::secret::Secret;
use dtma::checks::gather;
use dtma::{Config, Enrolment, Proxy};
use hop::tls::Pin;
use serde::Serialize;

use super::install::{self, DATA};
use super::pin::own_pin;
use super::{check_proxy, enrol, passes_in_clear};
use crate::args::{Connection, InstallArgs, JoinArgs, PackagesChoice, RuntimeChoice};
use crate::client::{http_client, http_client_through, innermost, refused};
use crate::commands::child::reachable;
use crate::data_dir::DataDir;
use crate::error::CliError;
use crate::output::Output;
use crate::service::{SERVICE, Units};

/// Where the host agent listens when nobody dials it.
const LISTEN: &str = "127.0.0.1:30000";
/// How full a disk may become, when the service was not told otherwise.
const CLEANUP_AT: u8 = 85;
/// How long an answer to the exchange of the token may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// The exchange is tried so often: an answer can be lost, and the same host may ask again.
const TRIES: u32 = 4;
/// How long the first report may take.
const FIRST_REPORT: Duration = Duration::from_secs(45);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(250);

/// What was done, for programs.
#[derive(Debug, Serialize)]
struct Joined {
    environment: String,
    name: String,
    way: EnrolledWay,
    checks: Vec<Check>,
    /// Whether the control plane took a report.
    reports: bool,
}

/// Does it.
pub(super) async fn run(args: &JoinArgs, connection: &Connection, output: Output) -> Result<(), CliError> {
    let url = args.control_url.trim_end_matches('/');
    if passes_in_clear(url) && !args.insecure_http {
        return Err(CliError::usage(format!("the tokens of this host would pass to {url} in clear"))
            .with_hint(
                "use an `https://` address, or add `--insecure-http` if that network is yours alone",
            ));
    }
    check_proxy(args.proxy.as_ref(), url)?;
    let token = enrol::token(&args.token_file, "berth env enrol")?;
    let data = DataDir::new(connection.data.as_deref().unwrap_or(Path::new(DATA)));
    let control_pin = connection.tls_pin;
    let checks = look(args, url, control_pin, data.path(), output).await?;
    // Made first: a token must not be used up for a host that cannot keep the answer.
    let data = data.create()?;
    let before = Config::read(data.dtma(), None).ok().map(|config| config.environment);
    let shown = own_pin(&data)?;
    let enrolled = exchange((url, control_pin, args.proxy.as_ref()), token, shown, before).await?;
    let enrolment = Enrolment {
        environment: enrolled.environment,
        token: enrolled.token.clone(),
        control_url: Some(url.to_owned()),
        tls_pin: control_pin,
        proxy: args.proxy.clone(),
    };
    dtma::enrol(&data.dtma(), &enrolment)
        .map_err(|error| CliError::because("what makes this host an environment cannot be kept", error))?;
    let again = if before.is_some() { " again" } else { "" };
    output.say(&format!("✓ this host is the environment `{}`{again}", enrolled.name));
    let reports = if args.no_service {
        by_hand(&enrolled, passes_in_clear(url), &data, (args.packages, output));
        false
    } else {
        serve(args, &enrolled, &data, connection, output).await?;
        true
    };
    if output.json() {
        let Enrolled { environment, name, way, .. } = enrolled;
        let (environment, name) = (environment.to_string(), name.to_string());
        output.document(&Joined { environment, name, way, checks, reports })?;
    }
    Ok(())
}

/// Looks whether this machine can be an environment, and has what is missing installed where that is wanted.
async fn look(
    args: &JoinArgs,
    url: &str,
    pin: Option<Pin>,
    data: &Path,
    output: Output,
) -> Result<Vec<Check>, CliError> {
    let facts = async || {
        let facts = gather(Some(url), (pin, args.proxy.as_ref()), data, Stage::Candidate).await;
        Facts { has_systemd: facts.has_systemd.filter(|_| !args.no_service), ..facts }
    };
    let mut found = facts().await;
    if args.install_missing && !judge(&found).iter().any(Check::is_failed) {
        install_missing(&found, output)?;
        found = facts().await;
    }
    let checks = judge(&found);
    for check in &checks {
        output.say(&check.to_string());
    }
    if checks.iter().any(Check::is_failed) {
        return Err(CliError::failed(
            "this machine cannot be an environment yet; nothing was changed, the token is still good",
        )
        .with_hint("do what is said above, and run the line again"));
    }
    Ok(checks)
}

fn install_missing(facts: &Facts, output: Output) -> Result<(), CliError> {
    let packages = facts.missing();
    if packages.is_empty() {
        return Ok(());
    }
    if !facts.is_debian_like() {
        return Err(CliError::failed("`--install-missing` knows Debian and Ubuntu alone")
            .with_hint("install what is said above by hand, and run the line again without it"));
    }
    output.say(&format!("… installing {}", packages.join(", ")));
    // A machine that was just made may still be installing its own updates.
    let patient = ["-q", "-y", "-o", "DPkg::Lock::Timeout=300"];
    let install = [&patient[..], &["install", "--no-install-recommends"], &packages].concat();
    for arguments in [[&patient[..], &["update"]].concat(), install] {
        let asked = format!("`apt-get {}`", arguments.join(" "));
        let ended = Command::new("apt-get")
            .args(&arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .output()
            .map_err(|error| CliError::because(format!("cannot start {asked}"), error))?;
        if !ended.status.success() {
            let said = String::from_utf8_lossy(&ended.stderr).into_owned();
            let last = said.lines().last().unwrap_or_default();
            return Err(CliError::failed(format!("{asked} failed: {last}"))
                .with_hint("repair that, or leave `--install-missing` out"));
        }
    }
    output.say(&format!("✓ installed {}", packages.join(", ")));
    Ok(())
}

/// Exchanges the one-time token. It is tried again with the same nonce where no answer came.
async fn exchange(
    (url, pin, proxy): (&str, Option<Pin>, Option<&Proxy>),
    token: Secret,
    shown: Pin,
    environment: Option<domain::ids::EnvironmentId>,
) -> Result<Enrolled, CliError> {
    let client = http_client_through(url, pin, proxy)?;
    let request = EnrolRequest {
        token,
        nonce: nonce()?,
        hostname: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        dtma_version: env!("CARGO_PKG_VERSION").to_owned(),
        tls_pin: Some(shown.to_string()),
        environment,
    };
    let mut failures = 0;
    loop {
        let sent = client.post(format!("{url}{ENROL_PATH}")).json(&request).timeout(PATIENCE).send().await;
        let failure = match sent {
            Ok(response) => {
                let status = response.status();
                match response.bytes().await {
                    Ok(body) if status.is_success() => {
                        return serde_json::from_slice(&body).map_err(|error| {
                            CliError::because(format!("{url} answered what is no answer of a Berth"), error)
                        });
                    }
                    Ok(body) if !status.is_server_error() => return Err(refused(url, status, &body)),
                    Ok(body) => refused(url, status, &body),
                    Err(error) => lost(url, error),
                }
            }
            Err(error) => lost(url, error),
        };
        failures += 1;
        if TRIES <= failures {
            return Err(failure);
        }
        tokio::time::sleep(Duration::from_secs(1 << (failures - 1))).await;
    }
}

fn lost(url: &str, error: reqwest::Error) -> CliError {
    CliError::because(format!("{url} did not answer"), innermost(&error.without_url()))
        .with_hint("run the line again within five minutes, or have `berth env enrol NAME` make another")
}

/// 256 random bits as text.
fn nonce() -> Result<Secret, CliError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| CliError::because("the system gave no random bytes", error))?;
    Ok(Secret::new(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()))
}

/// What is left to do where no service is wanted.
fn by_hand(
    enrolled: &Enrolled,
    is_clear: bool,
    data: &DataDir,
    (packages, output): (Option<PackagesChoice>, Output),
) {
    let how = match (enrolled.way, &enrolled.listen) {
        (EnrolledWay::Direct, Some(listen)) => {
            format!("--listen {listen} {}", if enrolled.tls { "--tls" } else { "--insecure-http" })
        }
        (EnrolledWay::Direct | EnrolledWay::Tunnel, _) if is_clear => "--tunnel --insecure-http".to_owned(),
        (EnrolledWay::Direct | EnrolledWay::Tunnel, _) => "--tunnel".to_owned(),
    };
    let from = if packages == Some(PackagesChoice::FromControl) { " --packages from-control" } else { "" };
    output.hint(&format!("start the host agent: berth dtma --data {} {how}{from}", data.path().display()));
}

/// Has the service installed and waits until the control plane heard of it.
async fn serve(
    args: &JoinArgs,
    enrolled: &Enrolled,
    data: &DataDir,
    connection: &Connection,
    output: Output,
) -> Result<(), CliError> {
    let is_dialled = enrolled.way == EnrolledWay::Direct;
    let listen = enrolled.listen.as_deref().filter(|_| is_dialled).unwrap_or(LISTEN);
    let listen = listen.parse().map_err(|error| {
        CliError::because(format!("the control plane named `{listen}` as this host's address"), error)
    })?;
    let (runtime, cleanup_at, packages) = kept();
    let packages = args.packages.unwrap_or(packages);
    let args = InstallArgs {
        listen,
        tls: enrolled.tls,
        insecure_http: !enrolled.tls && (is_dialled || args.insecure_http),
        control_url: None,
        tunnel: !is_dialled,
        runtime,
        cleanup_at,
        packages,
        root: None,
        print: false,
    };
    install::enrolled(&args, connection, output)?;
    output.say("✓ the host agent is a service of this host");
    let pin = enrolled.tls.then(|| own_pin(data)).transpose()?;
    let scheme = if pin.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{}/metrics", reachable(listen));
    let client = http_client(&url, pin)?;
    let deadline = Instant::now() + FIRST_REPORT;
    loop {
        if is_heard(&client, &url, &enrolled.token).await {
            output.say(&format!("✓ the control plane took the first report of `{}`", enrolled.name));
            return Ok(());
        }
        if deadline < Instant::now() {
            return Err(CliError::failed(format!(
                "the control plane took no report within {} seconds; the service keeps trying",
                FIRST_REPORT.as_secs()
            ))
            .with_hint(format!("`journalctl --unit {SERVICE}` says why")));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Whether the host agent counts a report that was taken.
async fn is_heard(client: &reqwest::Client, url: &str, token: &Secret) -> bool {
    let counted = async {
        let asked = client.get(url).bearer_auth(token.expose()).timeout(Duration::from_secs(5));
        asked.send().await?.error_for_status()?.text().await
    };
    // Whatever is wrong, it is asked again until its time is over.
    let text = counted.await.unwrap_or_default();
    text.lines()
        .any(|line| line.starts_with("berth_dtma_heartbeats_total{taken=\"true\"}") && !line.ends_with(" 0"))
}

/// What a service that is there was told to do otherwise than usual stays so.
fn kept() -> (RuntimeChoice, u8, PackagesChoice) {
    let service = Units::below(Path::new("/")).read(SERVICE).unwrap_or_default();
    let value = |flag: &str| service.split_once(flag)?.1.split_whitespace().next();
    let runtime = value(" --runtime ").and_then(|word| RuntimeChoice::from_str(word, false).ok());
    let cleanup_at = value(" --cleanup-at ").and_then(|number| number.parse().ok());
    let packages = value(" --packages ").and_then(|word| PackagesChoice::from_str(word, false).ok());
    (
        runtime.unwrap_or(RuntimeChoice::Auto),
        cleanup_at.unwrap_or(CLEANUP_AT),
        packages.unwrap_or(PackagesChoice::Direct),
    )
}
