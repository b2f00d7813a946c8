//! What a toolbelt of twenty instances adds to a call of one of them, whether another one that is dead or slow delays it, how long its list
//! takes that it has at hand, and a search over five thousand tools.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use domain::toolbelts::{Kind, Mode, OnChange};
use serde_json::{Value, json};
use testkit::platform::Platform;
use toolbelt::{Belt, Listing, Member};

use crate::load::{self, Figures, Target};
use crate::reference;

const MEMBERS: usize = 20;
const ROUNDS: usize = 5;
/// What the toolbelt may add at the median.
const GOAL_US: f64 = 100.0;
/// How many times longer the slowest of a hundred calls may take beside a dead and a slow member.
const GOAL_RATIO: f64 = 1.2;
/// What a list may take that is at hand.
const GOAL_LIST: Duration = Duration::from_millis(1);
/// Tools that are searched, and what an answer may take.
const TOOLS: usize = 5_000;
const GOAL_SEARCH: Duration = Duration::from_millis(10);
const QUERIES: [&str; 8] = [
    "create issue",
    "read the weather of a city",
    "tool 4711",
    "sends",
    "nothing of this",
    "list all invoices of a customer by month",
    "pull request",
    "a",
];

/// Prints the table.
pub(crate) async fn measure() -> anyhow::Result<()> {
    let platform = Platform::start_with(&crate::berth()?, &["--reach", "socket"]);
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build()?;
    let post = async |path: &str, body: Value| -> anyhow::Result<()> {
        let url = format!("{}/api/v1/{path}", platform.url());
        let request =
            client.post(url).bearer_auth(platform.token()).header("content-type", "application/json");
        let answer = request.body(body.to_string()).send().await?;
        ensure!(answer.status().is_success(), "{path}: {}", answer.text().await?);
        Ok(())
    };
    post("toolbelts", json!({ "name": "belt" })).await?;
    // The first keeps the names of its tools, as they are.
    post("toolbelts/belt/members", json!({ "instance": "welcome" })).await?;
    let slow = format!("file:{}", crate::fixture()?);
    platform.ok(&["deploy", &slow, "--name", "slow", "--wait"]);
    post("toolbelts/belt/members", json!({ "instance": "slow" })).await?;
    for member in 3..=MEMBERS {
        let name = format!("member-{member}");
        platform.ok(&["deploy", "welcome", "--name", &name, "--wait"]);
        post("toolbelts/belt/members", json!({ "instance": name })).await?;
    }
    let direct = target(&platform, "welcome")?;
    let belt = target(&platform, "belt")?;

    let added = pairs(&direct, &belt).await?;
    println!("\n| 1 session, medians of {ROUNDS} rounds in turn | p50 µs | p99 µs |");
    println!("|---|---:|---:|");
    println!(
        "| the instance | {:.1} | {:.1} |",
        median(&added, &|r| r.0.p50_us),
        median(&added, &|r| r.0.p99_us)
    );
    println!(
        "| the toolbelt of {MEMBERS} | {:.1} | {:.1} |",
        median(&added, &|r| r.1.p50_us),
        median(&added, &|r| r.1.p99_us)
    );
    let adds = median(&added, &|(direct, belt)| belt.p50_us - direct.p50_us);
    println!("\nA toolbelt adds {adds:.1} µs p50 per call (goal ≤ {GOAL_US:.0}).");

    let list = list(&client, &platform).await?;
    println!("Its list of tools takes {:.2} ms p50 (goal ≤ {}).", ms(list), GOAL_LIST.as_millis());

    let alone: Vec<Figures> = runs(&belt).await?;
    platform.ok(&["stop", "member-3"]);
    let waiting = tokio::spawn({
        let arguments = json!({ "steps": 100_000, "label": "bench" });
        let call = ask(&client, &platform, "tools/call", json!({ "name": "slow", "arguments": arguments }));
        async move { call.await.map(drop) }
    });
    let beside: Vec<Figures> = runs(&belt).await?;
    ensure!(!waiting.is_finished(), "the slow member has answered: {:?}", waiting.await);
    waiting.abort();
    let p99 = |of: &[Figures]| {
        let mut all: Vec<f64> = of.iter().map(|figures| figures.p99_us).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    let ratio = p99(&beside) / p99(&alone);
    println!(
        "With a dead member, and one that is at work all the time, the p99 of another's calls is {ratio:.2} times what it was (goal ≤ {GOAL_RATIO})."
    );

    let search = search()?;
    println!(
        "A search over {TOOLS} tools takes {:.2} ms p99 (goal ≤ {}).",
        ms(search),
        GOAL_SEARCH.as_millis()
    );
    let is_good = adds <= GOAL_US && ratio <= GOAL_RATIO && list <= GOAL_LIST && search <= GOAL_SEARCH;
    ensure!(is_good || std::env::var_os("BENCH_STRICT").is_none(), "a goal was not reached");
    Ok(())
}

fn target(platform: &Platform, name: &str) -> anyhow::Result<Target> {
    let url = platform.mcp_url(name);
    let (host, path) =
        url.strip_prefix("http://").and_then(|rest| rest.split_once('/')).context("no address")?;
    Ok(Target {
        address: reference::address(host)?,
        path: format!("/{path}"),
        token: Some(platform.token().to_owned()),
        headers: Vec::new(),
    })
}

/// Who is first changes, since the machine may be warmer for the second.
async fn pairs(direct: &Target, belt: &Target) -> anyhow::Result<Vec<(Figures, Figures)>> {
    let mut rounds = vec![];
    for round in 0..ROUNDS {
        rounds.push(if round % 2 == 0 {
            let direct = load::run(direct, 1, &[]).await?;
            (direct, load::run(belt, 1, &[]).await?)
        } else {
            let belt = load::run(belt, 1, &[]).await?;
            (load::run(direct, 1, &[]).await?, belt)
        });
    }
    Ok(rounds)
}

async fn runs(target: &Target) -> anyhow::Result<Vec<Figures>> {
    let mut runs = vec![];
    for _ in 0..ROUNDS {
        runs.push(load::run(target, 1, &[]).await?);
    }
    Ok(runs)
}

fn median(rounds: &[(Figures, Figures)], of: &dyn Fn(&(Figures, Figures)) -> f64) -> f64 {
    let mut all: Vec<f64> = rounds.iter().map(of).collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// A request to the toolbelt, as a client of 2026-07-28 sends it, up to its whole answer.
fn ask(
    client: &reqwest::Client,
    platform: &Platform,
    method: &'static str,
    mut params: Value,
) -> impl Future<Output = anyhow::Result<String>> + use<> {
    let mut request = client.post(platform.mcp_url("belt")).bearer_auth(platform.token());
    if let Some(name) = params["name"].as_str() {
        request = request.header("mcp-name", name);
    }
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {},
    });
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
    let request = request
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", method)
        .body(body);
    async move { Ok(request.send().await?.text().await?) }
}

/// The median of many lists of tools.
async fn list(client: &reqwest::Client, platform: &Platform) -> anyhow::Result<Duration> {
    let mut times = vec![];
    for _ in 0..500 {
        let begun = Instant::now();
        let text = ask(client, platform, "tools/list", json!({})).await?;
        ensure!(text.contains("member-20_echo"), "a wrong list: {text}");
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    times.get(times.len() / 2).copied().context("no list was answered")
}

/// The slowest of a hundred searches.
fn search() -> anyhow::Result<Duration> {
    let words = ["issue", "weather", "invoice", "city", "customer", "pull request", "month", "calendar"];
    let items: Vec<String> = (0..TOOLS)
        .map(|at| {
            let (word, other) = (words[at % words.len()], words[at / 7 % words.len()]);
            json!({
                "name": format!("{}_{at}", word.replace(' ', "_")),
                "description": format!("Creates, reads and sends the {word} of a {other}, as tool {at} of its server does."),
                "inputSchema": { "type": "object", "properties": {
                    "query": { "type": "string", "description": format!("what to look for in the {other}") },
                    "limit": { "type": "integer", "description": "how many at most" },
                } },
            })
            .to_string()
        })
        .collect();
    let page = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":[{}]}}}}"#, items.join(","));
    let mut listing = Listing::default();
    listing.take(Kind::Tool, &mcp::envelope::scan(page.as_bytes())?);
    let member = Member { id: "a".to_owned(), name: "a".to_owned(), is_active: true, ..Member::default() };
    let mut belt = Belt {
        name: "belt".to_owned(),
        description: None,
        mode: Mode::Search,
        on_change: OnChange::Keep,
        members: vec![member],
    };
    belt.hear(vec![(0, Ok(listing))]);
    let view = belt.view();
    let mut times = vec![];
    for _ in 0..50 {
        for query in QUERIES {
            let begun = Instant::now();
            let found = view.found(&json!({ "query": query }).to_string(), None);
            times.push(begun.elapsed());
            ensure!(found.contains("structuredContent"), "a wrong answer: {found}");
        }
    }
    times.sort_unstable();
    times.get(times.len() * 99 / 100).copied().context("nothing was searched")
}
