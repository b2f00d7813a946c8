//! How long a search in a large catalog takes: 471 entries of a registry, when `BENCH_CATALOG` names a file with them, and generated ones up to
//! 10,471, added with `berth catalog add` and searched through the API as a command or another program would.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use testkit::platform::Platform;

/// Entries in all.
const ENTRIES: usize = 10_471;
/// Rounds over all queries.
const ROUNDS: usize = 40;
/// What an answer may take.
const GOAL: Duration = Duration::from_millis(50);
/// What is searched for: nothing, common words, rare ones, several, and what there is none of; with filters and orders.
const QUERIES: [&str; 12] = [
    "",
    "search=git",
    "search=g",
    "search=database+query",
    "search=weather",
    "search=io.github",
    "search=server-4711",
    "search=nothing+of+this",
    "search=a&sort=newest",
    "category=data&sort=name",
    "search=data&secrets=true&package=pypi&deployable=true",
    "search=cloud&verified=true",
];
const SUBJECTS: [&str; 16] = [
    "github",
    "postgres",
    "weather",
    "calendar",
    "slack",
    "notion",
    "browser",
    "invoice",
    "kubernetes",
    "music",
    "maps",
    "email",
    "search",
    "vector",
    "image",
    "crm",
];
const DEEDS: [&str; 8] =
    ["reads", "writes", "searches", "summarises", "watches", "converts", "queries", "sends"];

/// Prints the table.
pub(crate) async fn measure() -> anyhow::Result<()> {
    let mut entries: Vec<Value> = match std::env::var_os("BENCH_CATALOG") {
        Some(file) => serde_json::from_slice(&std::fs::read(file).context("BENCH_CATALOG")?)?,
        None => vec![],
    };
    let given = entries.len();
    entries.extend((given..ENTRIES).map(generated));
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("entries.json");
    std::fs::write(&file, serde_json::to_vec(&entries)?)?;
    let platform = Platform::start(&crate::berth()?);
    let begun = Instant::now();
    platform.ok(&["catalog", "add", file.to_str().context("a path of text")?]);
    let added = begun.elapsed();

    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build()?;
    let ask = async |query: &str| -> anyhow::Result<Duration> {
        let url = format!("{}/api/v1/catalog?limit=48&{query}", platform.url());
        let begun = Instant::now();
        let answer = client.get(url.trim_end_matches('&')).bearer_auth(platform.token()).send().await?;
        ensure!(answer.status().is_success(), "{query}: {}", answer.status());
        answer.bytes().await?;
        Ok(begun.elapsed())
    };
    // The first after a change makes the index.
    let first = ask("search=git").await?;
    let mut times = vec![];
    for _ in 0..ROUNDS {
        for query in QUERIES {
            times.push(ask(query).await?);
        }
    }
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
    let (p50, p99) = (at(50), at(99));
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    println!("\n| {ENTRIES} entries, {given} of them a registry's | ms |");
    println!("|---|---:|");
    println!("| adding them all with `berth catalog add` | {:.0} |", ms(added));
    println!("| the first search, which makes the index | {:.1} |", ms(first));
    println!("| a search, p50 of {} | {:.2} |", times.len(), ms(p50));
    println!("| a search, p99 (goal {:.0}) | {:.2} |", ms(GOAL), ms(p99));
    ensure!(p99 <= GOAL, "a search takes longer than it may");
    Ok(())
}

/// An entry as registries have them, of words that many share.
fn generated(at: usize) -> Value {
    let (subject, other) = (SUBJECTS[at % SUBJECTS.len()], SUBJECTS[at / 7 % SUBJECTS.len()]);
    let deed = DEEDS[at % DEEDS.len()];
    let registry = ["npm", "pypi", "oci"][at % 3];
    let secrets = if at.is_multiple_of(2) {
        json!([{ "name": "API_KEY", "description": "A key of the service", "isRequired": true, "isSecret": true },
            { "name": "BASE_URL", "description": "Where the service is", "default": "https://api.example.com" }])
    } else {
        json!([])
    };
    json!({
        "server": {
            "$schema": "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json",
            "name": format!("io.github.owner-{}/{subject}-server-{at}", at % 997),
            "title": format!("{subject} {other} {at}"),
            "description": format!("An MCP server that {deed} what is in {subject} and {other}, for teams and for people alone"),
            "version": format!("1.{}.{}", at % 10, at % 7),
            "repository": { "url": format!("https://github.com/owner-{}/{subject}", at % 997), "source": "github" },
            "packages": [{ "registryType": registry, "identifier": format!("owner{}/{subject}-{at}", at % 997)
                .split_off(if registry == "oci" { 0 } else { format!("owner{}/", at % 997).len() }),
                "version": "1.0.0", "transport": { "type": "stdio" }, "environmentVariables": secrets }],
        },
        "_meta": { "io.modelcontextprotocol.registry/official": {
            "status": "active", "publishedAt": format!("2025-{:02}-{:02}T08:00:00Z", at % 12 + 1, at % 28 + 1),
            "updatedAt": format!("2025-{:02}-{:02}T08:00:00Z", at % 12 + 1, at % 28 + 1), "isLatest": true,
        } },
    })
}
