//! One server of the catalog from its deployment to its removal, and what was seen of it.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};
use testkit::mcp::Mcp;
use testkit::platform::Platform;
use testkit::wait;

use crate::cases::{Case, Expected};
use crate::outside::Outside;

/// How long the largest package may take to install over a slow line.
const PATIENCE: Duration = Duration::from_mins(10);
/// The revision of the legacy client: the one that most clients of today speak.
const LEGACY: &str = "2025-06-18";

/// What was seen of one server.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) case: &'static Case,
    /// The exact version; Berth's own server has none.
    pub(crate) version: String,
    /// The MCP SDK in the installed tree.
    pub(crate) sdk: String,
    /// What server and shim agreed on.
    pub(crate) revision: String,
    pub(crate) tools: usize,
    /// From being deployed to being installed.
    pub(crate) install: Duration,
    /// From being started to having answered.
    pub(crate) start: Duration,
}

/// Deploys it, calls it as a client of each era, and removes it.
pub(crate) async fn prove(
    platform: &Platform,
    outside: &Outside,
    case: &'static Case,
) -> anyhow::Result<Row> {
    // `welcome` runs already.
    let name = format!("{}-1", case.entry);
    let flags: Vec<String> = case
        .flags
        .iter()
        .map(|flag| flag.replace("{site}", &outside.site).replace("{postgres}", &outside.postgres))
        .collect();
    let mut deploy = vec!["deploy", case.entry, "--name", &name];
    deploy.extend(flags.iter().map(String::as_str));
    platform.ok(&deploy);

    let seen = called(platform, outside, case, &name).await;
    let log = if seen.is_err() { platform.ok(&["logs", &name]) } else { String::new() };
    platform.ok(&["remove", &name, "--yes"]);
    wait::until("its removal", || platform.instance(&name).is_none().then_some(()));
    seen.with_context(|| log)
}

async fn called(
    platform: &Platform,
    outside: &Outside,
    case: &'static Case,
    name: &str,
) -> anyhow::Result<Row> {
    let (instance, install, start) = running(platform, name).await?;
    let text = |key: &str| instance[key].as_str().unwrap_or_default().to_owned();
    let work = platform.data().join("dtma/instances").join(text("id")).join("work");
    if let Some(prepare) = case.prepare {
        prepare(&work);
    }
    let arguments =
        case.arguments.replace("{site}", &outside.site).replace("{work}", &work.display().to_string());
    let arguments: Value = serde_json::from_str(&arguments)?;

    let (url, token) = (platform.mcp_url(name), platform.token());
    let legacy = Mcp::open_as(&url, token, LEGACY).await.context("a legacy client opens a session")?;
    let modern = Mcp::modern(&url, token);
    let discovered = modern.ask("server/discover", &json!({})).await.context("a modern client discovers")?;
    let versions = discovered["supportedVersions"].as_array().map(Vec::as_slice).unwrap_or_default();
    ensure!(versions.contains(&json!("2026-07-28")), "no modern revision: {discovered}");

    let tools = tools(&legacy).await.context("a legacy client lists")?;
    ensure!(tools.iter().any(|tool| tool == case.tool), "no `{}` among {tools:?}", case.tool);
    let listed = self::tools(&modern).await.context("a modern client lists")?;
    ensure!(listed == tools, "a modern client sees other tools: {listed:?}, not {tools:?}");

    let answer = legacy.call(case.tool, arguments.clone()).await.context("a legacy client calls")?;
    ensure!(answer.get("resultType").is_none(), "a legacy client gets a modern result: {answer}");
    check(&answer, case.expected).context("a legacy client calls")?;
    let answer = modern.call(case.tool, arguments).await.context("a modern client calls")?;
    ensure!(answer["resultType"] == "complete", "a modern client gets a legacy result: {answer}");
    check(&answer, case.expected).context("a modern client calls")?;

    let sdk = match instance["digest"].as_str() {
        Some(digest) => sdk(&platform.data().join("dtma/packages").join(digest.replace(':', "-")))?,
        None => "rmcp".to_owned(),
    };
    let version = if text("version").is_empty() { "Berth's".to_owned() } else { text("version") };
    Ok(Row { case, version, sdk, revision: text("protocol_version"), tools: tools.len(), install, start })
}

/// Waits until it runs. The times are those of its host, as the control plane tells them.
async fn running(platform: &Platform, name: &str) -> anyhow::Result<(Value, Duration, Duration)> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let url = format!("{}/api/v1/instances/{name}", platform.url());
    let deadline = Instant::now() + PATIENCE;
    let mut started = None;
    loop {
        let instance: Value = http.get(&url).bearer_auth(platform.token()).send().await?.json().await?;
        let since = instance["since"].as_u64();
        match instance["status"].as_str().unwrap_or_default() {
            // Said once before the install and once after it: the last counts.
            "starting" => started = since,
            "running" => {
                let created = instance["created_at"].as_u64().context("when it was made")?;
                let running = since.context("since when it runs")?;
                // What starts faster than anybody looks has taken no time to install either.
                let started = started.unwrap_or(created).clamp(created, running);
                let passed = |from, to| Duration::from_micros(to - from);
                return Ok((instance, passed(created, started), passed(started, running)));
            }
            "error_install" | "error_runtime" => bail!("it does not start: {instance}"),
            _ => {}
        }
        ensure!(Instant::now() < deadline, "it does not run within {PATIENCE:?}: {instance}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The names of all tools, page by page.
async fn tools(client: &Mcp) -> anyhow::Result<Vec<String>> {
    let (mut names, mut params) = (vec![], json!({}));
    loop {
        let list = client.ask("tools/list", &params).await?;
        let tools = list["tools"].as_array().with_context(|| format!("no list: {list}"))?;
        names.extend(tools.iter().filter_map(|tool| tool["name"].as_str()).map(str::to_owned));
        match &list["nextCursor"] {
            Value::Null => return Ok(names),
            cursor => params = json!({"cursor": cursor}),
        }
    }
}

fn check(answer: &Value, expected: Expected) -> anyhow::Result<()> {
    let content = answer["content"].as_array().map(Vec::as_slice).unwrap_or_default();
    let text: Vec<&str> = content.iter().filter_map(|part| part["text"].as_str()).collect();
    let (part, is_error) = match expected {
        Expected::Result(part) => (part, false),
        Expected::ToolError(part) => (part, true),
    };
    let reported = answer["isError"].as_bool().unwrap_or(false);
    ensure!(reported == is_error && text.join("\n").contains(part), "not `{part}`: {answer}");
    Ok(())
}

/// The MCP SDK in an installed tree, and its version.
fn sdk(tree: &Path) -> anyhow::Result<String> {
    for package in ["server", "sdk"] {
        let manifest = tree.join("node_modules/@modelcontextprotocol").join(package).join("package.json");
        if let Ok(text) = std::fs::read_to_string(manifest) {
            let manifest: Value = serde_json::from_str(&text)?;
            return Ok(format!("TypeScript {}", manifest["version"].as_str().unwrap_or_default()));
        }
    }
    let mut names = vec![];
    for entry in std::fs::read_dir(tree).with_context(|| tree.display().to_string())? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    let version_of = |project: &str| {
        names
            .iter()
            .find_map(|name| name.strip_prefix(project)?.strip_prefix('-')?.strip_suffix(".dist-info"))
    };
    // FastMCP stands on the Python SDK, so it is looked for first.
    Ok([("fastmcp", "FastMCP"), ("mcp", "Python")]
        .into_iter()
        .find_map(|(project, title)| Some(format!("{title} {}", version_of(project)?)))
        .unwrap_or_else(|| "bundled".to_owned()))
}
