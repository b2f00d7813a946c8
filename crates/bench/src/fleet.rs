//! A thousand hosts, each with a tunnel over TLS and its heartbeats, on one control plane: what an idle one weighs, what all of
//! them cost, and how long they take to come back after the control plane was killed.
//!
//! The hosts are one process of this program. Each has the connections that a DTMA has, opens them again as a DTMA does, and
//! runs nothing.

mod hosts;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use testkit::platform::Platform;
use testkit::processes::{kill, pss};

use crate::processes::{cpu, of_command};

pub(crate) use hosts::run as hosts;

/// How many there are when nobody says otherwise.
const HOSTS: usize = 1000;
/// How long all of them may take to come.
const PATIENCE: Duration = Duration::from_mins(5);
/// With this in the environment a goal that is missed is an error.
const STRICT: &str = "BENCH_STRICT";
/// KiB of memory that an idle host may weigh, TLS included.
const WEIGHT: f64 = 40.0;
/// After the control plane was killed all must be as before within this.
const STORM: Duration = Duration::from_mins(1);
/// How long the idle fleet is watched.
const WATCHED: Duration = Duration::from_secs(30);

/// The process of all hosts. It ends with this.
struct Hosts {
    child: Child,
    open: Arc<AtomicUsize>,
}

impl Hosts {
    fn start(url: &str, pin: &str, file: &std::path::Path) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["hosts", url, pin])
            .arg(file)
            .stdout(Stdio::piped())
            .spawn()?;
        let lines = BufReader::new(child.stdout.take().context("its output")?).lines();
        let open = Arc::new(AtomicUsize::new(0));
        let told = Arc::clone(&open);
        std::thread::spawn(move || {
            for count in lines.map_while(Result::ok).filter_map(|line| line.parse().ok()) {
                told.store(count, Ordering::Relaxed);
            }
        });
        Ok(Self { child, open })
    }

    /// How long it takes until so many tunnels are open, or until none is.
    async fn until(&self, count: usize) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        while self.open.load(Ordering::Relaxed) != count {
            let open = self.open.load(Ordering::Relaxed);
            ensure!(begun.elapsed() < PATIENCE, "{open} tunnels are open after {PATIENCE:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(begun.elapsed())
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Prints the table.
pub(crate) async fn measure() -> anyhow::Result<()> {
    let count = std::env::var("BENCH_HOSTS").ok().and_then(|text| text.parse().ok()).unwrap_or(HOSTS);
    let platform = Platform::start_with(&crate::berth()?, &["--https-listen", "127.0.0.1:0"]);
    let me = platform.json(&["whoami"]);
    let (url, pin) = (text(&me["public_url"])?, text(&me["tls_pin"])?);
    let file = platform.data().join("hosts.json");
    let begun = Instant::now();
    std::fs::write(&file, serde_json::to_vec(&enrolled(&platform, count).await?)?)?;
    let adding = begun.elapsed();

    let server = || of_command(&platform.processes(), "server");
    let weight = |pids: &[u32]| -> anyhow::Result<f64> {
        let bytes: u64 = pids.iter().filter_map(|&pid| pss(pid)).sum();
        Ok(f64::from(u32::try_from(bytes / 1024)?))
    };
    // Adding them left its traces in memory; a control plane that was just started has none.
    for pid in server() {
        kill(pid);
    }
    testkit::wait::until("a control plane", || platform.run(&["whoami"]).status.success().then_some(()));
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = weight(&server())?;
    let hosts = Hosts::start(&url, &pin, &file)?;
    let coming = hosts.until(count).await?;
    // Two heartbeats each, so that everything that a host ever needs is there.
    tokio::time::sleep(WATCHED).await;
    let idle = weight(&server())?;
    let (pids, used) = (server(), cpu(&server()));
    tokio::time::sleep(WATCHED).await;
    let busy = (cpu(&pids).saturating_sub(used)).as_secs_f64() / WATCHED.as_secs_f64();
    ensure!(hosts.open.load(Ordering::Relaxed) == count, "a tunnel closed by itself");
    ensure!(active(&platform) == count + 1, "not every host is active");

    let killed = Instant::now();
    for pid in server() {
        kill(pid);
    }
    hosts.until(0).await?;
    hosts.until(count).await?;
    let storm = killed.elapsed();
    while active(&platform) != count + 1 {
        ensure!(killed.elapsed() < PATIENCE, "not every host is active again");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let settled = killed.elapsed();
    tokio::time::sleep(WATCHED).await;
    let after = weight(&server())?;

    let each = f64::from(u32::try_from(count)?);
    let (idle, after) = ((idle - before) / each, (after - before) / each);
    println!("\n| {count} hosts, each with a tunnel over TLS and a heartbeat every 15 s | | goal |");
    println!("|---|---:|---:|");
    println!("| adding all of them | {:.1} s | |", adding.as_secs_f64());
    println!("| from none to all tunnels open | {:.1} s | |", coming.as_secs_f64());
    println!("| control plane without a host there | {:.1} MiB (PSS) | |", before / 1024.0);
    println!("| each idle host in it | {idle:.1} KiB (PSS) | {WEIGHT} |");
    println!("| control plane, processor | {:.1} % of a core | |", busy * 100.0);
    println!("| after kill -9 of the control plane: all tunnels open | {:.1} s | |", storm.as_secs_f64());
    println!("| and all environments active | {:.1} s | {} |", settled.as_secs_f64(), STORM.as_secs());
    println!("| each idle host in it, afterwards | {after:.1} KiB (PSS) | {WEIGHT} |");
    if std::env::var_os(STRICT).is_some() {
        ensure!(settled <= STORM, "the fleet was not there again within {STORM:?}");
        ensure!(idle <= WEIGHT && after <= WEIGHT, "an idle host weighs more than {WEIGHT} KiB");
    }
    Ok(())
}

fn text(value: &Value) -> anyhow::Result<String> {
    Ok(value.as_str().context("the control plane has an address and a pin")?.to_owned())
}

/// How many environments are active and can be reached.
fn active(platform: &Platform) -> usize {
    let list = platform.json(&["env", "list"]);
    let is_well = |one: &&Value| one["status"] == "active" && one["message"].is_null();
    list.as_array().map_or(0, |list| list.iter().filter(is_well).count())
}

/// Adds so many hosts; id and token of each.
async fn enrolled(platform: &Platform, count: usize) -> anyhow::Result<Vec<Value>> {
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build()?;
    let path = format!("{}/api/v1/environments", platform.url());
    let post = async |path: String, body: Value| -> anyhow::Result<Value> {
        let asked = client.post(path).bearer_auth(platform.token()).json(&body).send().await?;
        Ok(asked.error_for_status()?.json().await?)
    };
    let mut all = Vec::new();
    for number in 0..count {
        let name = format!("host-{number}");
        let added = post(path.clone(), json!({ "name": name, "kind": "host" })).await?;
        let token = post(format!("{path}/{name}/token"), json!({})).await?;
        all.push(json!({ "environment": added["id"], "token": token["token"] }));
    }
    Ok(all)
}
