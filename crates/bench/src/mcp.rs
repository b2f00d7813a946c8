//! One call through the bridge: servers over pipes and over HTTP, clients and servers of either era, a few and many
//! sessions, small and large messages, beside the server alone, nginx, empty hops and other bridges.
//!
//! Everybody is measured in turn, and three times over, and the table has the median: what else the machine does then
//! falls on all alike.

mod clients;
mod parts;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use testkit::platform::Platform;

use self::clients::{Clients, Era};
use self::parts::{Link, Part};
use crate::load::Figures;
use crate::pipes::Server;
use crate::processes::of_command;

/// Sessions and bytes of text.
const CELLS: [(usize, usize); 6] =
    [(1, 100), (16, 100), (64, 100), (200, 100), (16, 10_000), (16, 1_000_000)];
const ROUNDS: usize = 3;
const TIME: Duration = Duration::from_secs(1);
const WARM_UP: Duration = Duration::from_millis(200);

const PIPES: &str = "the server over pipes";
const DIRECT: &str = "the server itself";
const BERTH: &str = "Berth, three hops";
const TWO_HOPS: &str = "Berth, two hops";
const HTTP2: &str = "Berth, three hops, the inner over HTTP/2";
const MODERN: &str = "Berth, modern client and server";
const TO_LEGACY: &str = "Berth, modern client, legacy server";
const TO_MODERN: &str = "Berth, legacy client, modern server";
const PEER: &str = "crate mcp-proxy";

/// What came of all rounds of a cell.
#[derive(Debug, Clone, Copy)]
struct Cell {
    figures: Figures,
    errors: u64,
}

struct Row {
    link: Link,
    name: &'static str,
    cells: Vec<Option<Cell>>,
}

/// Prints the tables.
pub(crate) async fn measure() -> anyhow::Result<()> {
    more_descriptors()?;
    let all = parts().await?;
    let mut rows: Vec<Row> = std::iter::once((Link::Stdio, PIPES))
        .chain(all.iter().map(|part| (part.link, part.name)))
        .map(|(link, name)| Row { link, name, cells: vec![] })
        .collect();
    for (sessions, bytes) in CELLS {
        let text: Arc<str> = "x".repeat(bytes).into();
        let mut found: Vec<Vec<Option<(Figures, u64)>>> = vec![vec![]; rows.len()];
        for _ in 0..ROUNDS {
            found[0].push(pipes(sessions, &text).await.ok().map(|figures| (figures, 0)));
            for (part, found) in all.iter().zip(&mut found[1..]) {
                let figures = round(part, sessions, &text).await;
                if let Err(error) = &figures {
                    println!("{} ({}), {sessions} sessions: {error:#}", part.name, part.link.word());
                }
                found.push(figures.ok());
            }
        }
        for (row, found) in rows.iter_mut().zip(found) {
            row.cells.push(median(&found.into_iter().flatten().collect::<Vec<_>>()));
        }
        print(&rows, sessions, bytes);
    }
    drop(all);
    goals(&rows);
    idle().await
}

/// Starts everything that is measured.
async fn parts() -> anyhow::Result<Vec<Part>> {
    let peers: PathBuf =
        std::env::var_os("BENCH_PEERS").context("BENCH_PEERS is not set: use `cargo xtask bench`")?.into();
    let mut all = vec![parts::empty_hops("three empty hops")?];
    for link in [Link::Stdio, Link::Http] {
        let (legacy, modern) = (Era::Legacy, Era::Modern);
        all.extend(parts::berth(
            "dtma",
            &[
                (link, BERTH, legacy, legacy),
                (link, MODERN, modern, modern),
                (link, TO_LEGACY, modern, legacy),
                (link, TO_MODERN, legacy, modern),
            ],
        )?);
        all.extend(parts::berth("http2", &[(link, HTTP2, legacy, legacy)])?);
        all.extend(parts::berth("socket", &[(link, TWO_HOPS, legacy, legacy)])?);
    }
    let direct = parts::direct("nginx, one hop", DIRECT, Era::Legacy)?;
    all.extend(parts::peers(&peers, &direct[0])?);
    all.extend(direct);
    for part in &all {
        parts::ready(part).await?;
    }
    // Those of one kind stand together.
    all.sort_by_key(|part| part.link == Link::Http);
    Ok(all)
}

async fn pipes(sessions: usize, text: &str) -> anyhow::Result<Figures> {
    let program = crate::fixture()?;
    let mut server = Server::start(program.as_ref(), &["--era", "legacy"]).await?;
    server.load(u64::try_from(sessions)?, text, WARM_UP, TIME).await
}

async fn round(part: &Part, sessions: usize, text: &Arc<str>) -> anyhow::Result<(Figures, u64)> {
    let mut clients = Clients::open(&part.way, sessions).await?;
    let pids = part.pids();
    clients.call(text, WARM_UP, &pids).await?;
    let found = clients.call(text, TIME, &pids).await;
    clients.close().await;
    found
}

fn median(rounds: &[(Figures, u64)]) -> Option<Cell> {
    let of = |value: fn(&Figures) -> f64| {
        let mut values: Vec<f64> = rounds.iter().map(|(figures, _)| value(figures)).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    };
    Some(Cell {
        figures: Figures {
            per_second: of(|figures| figures.per_second)?,
            p50_us: of(|figures| figures.p50_us)?,
            p99_us: of(|figures| figures.p99_us)?,
            cpu_us: of(|figures| figures.cpu_us)?,
        },
        errors: rounds.iter().map(|(_, errors)| errors).sum(),
    })
}

fn print(rows: &[Row], sessions: usize, bytes: usize) {
    println!("\n| {sessions} session(s), {bytes} B | calls/s | p50 µs | p99 µs | CPU µs per call | errors |");
    println!("|---|---:|---:|---:|---:|---:|");
    for row in rows {
        let name = format!("{} {}", row.link.word(), row.name);
        match row.cells.last().copied().flatten() {
            Some(Cell { figures: f, errors }) => println!(
                "| {name} | {:.0} | {:.0} | {:.0} | {:.1} | {errors} |",
                f.per_second, f.p50_us, f.p99_us, f.cpu_us
            ),
            None => println!("| {name} | – | – | – | – | all |"),
        }
    }
}

/// Finds the figures of a row.
type Of<'a> = dyn Fn(Link, &str) -> Option<Figures> + 'a;
/// What is said of a cell, in words, and how it is found.
type Ratio = (&'static str, fn(&Of<'_>) -> Option<f64>);

const RATIOS: [Ratio; 10] = [
    ("calls/s of three hops ÷ crate mcp-proxy, stdio (goal ≥ 0.8)", |of| {
        Some(of(Link::Stdio, BERTH)?.per_second / of(Link::Stdio, PEER)?.per_second)
    }),
    ("the same, HTTP (goal ≥ 1.2)", |of| {
        Some(of(Link::Http, BERTH)?.per_second / of(Link::Http, PEER)?.per_second)
    }),
    ("µs that three hops add to p50 over pipes (goal ≤ 140 at 1)", |of| {
        Some(of(Link::Stdio, BERTH)?.p50_us - of(Link::Stdio, PIPES)?.p50_us)
    }),
    ("µs that three hops add to p50 over the server's HTTP (goal ≤ 140 at 1)", |of| {
        Some(of(Link::Http, BERTH)?.p50_us - of(Link::Http, DIRECT)?.p50_us)
    }),
    ("two hops, pipes (goal ≤ 110 at 1)", |of| {
        Some(of(Link::Stdio, TWO_HOPS)?.p50_us - of(Link::Stdio, PIPES)?.p50_us)
    }),
    ("two hops, HTTP (goal ≤ 110 at 1)", |of| {
        Some(of(Link::Http, TWO_HOPS)?.p50_us - of(Link::Http, DIRECT)?.p50_us)
    }),
    ("µs that an inner hop over HTTP/2 adds to p50, pipes", |of| {
        Some(of(Link::Stdio, HTTP2)?.p50_us - of(Link::Stdio, BERTH)?.p50_us)
    }),
    ("CPU of a call to a legacy server: modern client ÷ legacy client (goal ≤ 1.5)", |of| {
        Some(of(Link::Stdio, TO_LEGACY)?.cpu_us / of(Link::Stdio, BERTH)?.cpu_us)
    }),
    ("CPU of a call to a modern server: legacy client ÷ modern client (goal ≤ 1.5)", |of| {
        Some(of(Link::Stdio, TO_MODERN)?.cpu_us / of(Link::Stdio, MODERN)?.cpu_us)
    }),
    ("CPU ÷ the best npm or PyPI bridge, stdio (goal ≤ 0.2)", |of| {
        let others = ["npm supergateway", "npm mcp-proxy", "PyPI mcp-proxy", "FastMCP proxy"];
        let best =
            others.iter().filter_map(|name| Some(of(Link::Stdio, name)?.cpu_us)).min_by(f64::total_cmp)?;
        Some(of(Link::Stdio, BERTH)?.cpu_us / best)
    }),
];

/// The ratios that matter, cell by cell.
fn goals(rows: &[Row]) {
    println!("\n| ratio |{}", CELLS.map(|(sessions, bytes)| format!(" {sessions} × {bytes} B |")).concat());
    println!("|---|{}", "---:|".repeat(CELLS.len()));
    for (name, ratio) in RATIOS {
        let at = |at: usize| {
            let of = |link: Link, name: &str| {
                let row = rows.iter().find(|row| row.link == link && row.name == name)?;
                row.cells.get(at).copied().flatten().map(|cell| cell.figures)
            };
            ratio(&of).map_or("–".to_owned(), |value| format!("{value:.2}"))
        };
        println!("| {name} | {} |", (0..CELLS.len()).map(at).collect::<Vec<_>>().join(" | "));
    }
}

/// What twenty sessions weigh that do nothing.
async fn idle() -> anyhow::Result<()> {
    const SESSIONS: usize = 20;
    let platform = Platform::start(&crate::berth()?);
    let fixture = crate::fixture()?;
    platform.ok(&["deploy", &format!("file:{fixture}"), "--name", "idle", "--wait", "--mode", "shared"]);
    let clients = Clients::open(&parts::way_to(&platform, "idle", Era::Legacy)?, SESSIONS).await?;
    // Pages of the start that are returned late should not count; nothing is waited for here but that.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let all = platform.processes();
    let shim = platform.shim("fixture");
    let is_server = |p: &&testkit::processes::Process| p.has("fixture") && !p.has("__sandbox");
    let helpers = below_shim(&all, shim, |p| p.has("__sandbox"))?;
    let host: u64 = ["server", "dtma"]
        .iter()
        .flat_map(|word| of_command(&all, word))
        .map(memory)
        .sum::<anyhow::Result<u64>>()?;
    let mib = |bytes: u64| u32::try_from(bytes >> 10).map(|kib| f64::from(kib) / 1024.0);
    println!("\n| {SESSIONS} idle sessions of one shared server | |");
    println!("|---|---:|");
    println!("| processes of the server | {} |", all.iter().filter(is_server).count());
    println!("| its shim and sandbox helpers, MiB (PSS) | {:.2} |", mib(memory(shim)? + helpers)?);
    println!("| control plane, gateway and DTMA, of all instances, MiB (PSS) | {:.2} |", mib(host)?);
    clients.close().await;
    Ok(())
}

fn memory(pid: u32) -> anyhow::Result<u64> {
    testkit::processes::pss(pid).context("a process ended meanwhile")
}

/// Proportional memory of the chosen processes under a shim.
fn below_shim(
    all: &[testkit::processes::Process],
    shim: u32,
    is_meant: fn(&testkit::processes::Process) -> bool,
) -> anyhow::Result<u64> {
    let ids: Vec<u32> = testkit::processes::below(shim).iter().map(|process| process.pid).collect();
    all.iter().filter(|p| ids.contains(&p.pid) && is_meant(p)).map(|p| memory(p.pid)).sum()
}

/// Two hundred sessions are twice as many connections in the gateway.
fn more_descriptors() -> anyhow::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?)
}
