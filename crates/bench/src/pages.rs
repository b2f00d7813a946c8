//! Pages of an account with a thousand instances: how long the control plane takes to make them, and what they weigh.
//!
//! The instances are of a host that this program plays: it reports them as running and is never asked anything else.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use testkit::platform::Platform;

use crate::start::median;

const INSTANCES: usize = 1000;
const ROUNDS: usize = 30;
/// With this in the environment a goal that is missed is an error.
const STRICT: &str = "BENCH_STRICT";
/// A page of all of them is there within this.
const GOAL: Duration = Duration::from_millis(200);
/// And weighs no more, compressed, in KiB.
const HEAVIEST: usize = 100;

/// Prints the table.
pub(crate) async fn measure() -> anyhow::Result<()> {
    let platform = Platform::start(&crate::berth()?);
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([])
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    fill(&platform, &client).await?;
    let cookie = sign_in(&platform, &client).await?;

    println!("\n| {INSTANCES} instances, median of {ROUNDS} | ms | KiB compressed |");
    println!("|---|---:|---:|");
    for (words, query) in [
        ("their list, a page of 200", ""),
        ("their list, all on one page (goal 200 ms, 100 KiB)", "?page=all"),
        ("their list, searched", "?q=server-99"),
        ("one of them", "/server-500"),
        ("the account's overview", "/.."),
    ] {
        let path =
            if query == "/.." { "/a/default".to_owned() } else { format!("/a/default/instances{query}") };
        let (mut times, mut bytes) = (Vec::new(), 0);
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            let asked = client.get(format!("{}{path}", platform.url())).header("cookie", &cookie);
            let answer = asked.header("accept-encoding", "gzip, br").send().await?.error_for_status()?;
            ensure!(answer.status() == 200, "{path}: {}", answer.status());
            bytes = answer.bytes().await?.len();
            times.push(begun.elapsed());
        }
        let time = median(times)?;
        println!(
            "| {words} | {:.1} | {:.1} |",
            time.as_secs_f64() * 1e3,
            f64::from(u32::try_from(bytes)?) / 1024.0
        );
        if std::env::var_os(STRICT).is_some() {
            ensure!(time <= GOAL, "{path} took {time:?}");
            ensure!(bytes <= HEAVIEST << 10, "{path} weighs {bytes} bytes");
        }
    }
    Ok(())
}

/// Deploys them to a host and says that they run.
async fn fill(platform: &Platform, client: &reqwest::Client) -> anyhow::Result<()> {
    let post = async |path: &str, token: &str, body: Value| -> anyhow::Result<Option<Value>> {
        let path = format!("{}/api/v1{path}", platform.url());
        let answer = client.post(path).bearer_auth(token).json(&body).send().await?.error_for_status()?;
        Ok(serde_json::from_slice(&answer.bytes().await?).ok())
    };
    let own = platform.token();
    let added =
        post("/environments", own, json!({ "name": "far", "kind": "host" })).await?.context("a host")?;
    let token = post("/environments/far/token", own, json!({})).await?.context("its token")?;
    let token = token["token"].as_str().context("its token")?.to_owned();
    let mut reports = Vec::new();
    for number in 0..INSTANCES {
        let name = format!("server-{number}");
        let body = json!({ "server": "welcome", "name": name, "environment": "far" });
        let made = post("/instances", own, body).await?.context("an instance")?;
        reports.push(json!({
            "id": made["id"], "generation": 1, "status": "running", "since": 1, "version": "1.0.0",
            "server_name": "welcome", "protocol_version": "2025-11-25",
            "metrics": { "cpu_millicores": number, "memory_bytes": 40_000_000 + number * 1000 },
        }));
    }
    let beat = json!({
        "environment": added["id"], "dtma_version": "1", "sequence": 1, "started_at": 1, "protections": [],
        "instances": reports,
        "system": {
            "cpu_load_percent": 1.5, "cores": 2, "disk": null, "uptime_seconds": 9,
            "memory": { "total_bytes": 4_u64 << 30, "active_bytes": 1, "free_bytes": 2, "used_bytes": 2 }
        }
    });
    post("/dtma/heartbeat", &token, beat).await?;
    Ok(())
}

/// The cookie of a session.
async fn sign_in(platform: &Platform, client: &reqwest::Client) -> anyhow::Result<String> {
    let made = platform.json(&["recover"]);
    let link = made["link"].as_str().context("a link")?.split('?').next().unwrap_or_default();
    let answer = client
        .post(link)
        .header("origin", platform.url())
        .header("content-type", "application/x-www-form-urlencoded")
        .send()
        .await?;
    let cookie = answer.headers().get("set-cookie").context("a cookie")?.to_str()?;
    Ok(cookie.split(';').next().unwrap_or_default().to_owned())
}
