//! What one call costs, beside the same server over pipes, nginx, and hops that do nothing.

use anyhow::Context as _;
use hop::address::Address;
use hop::pool::Pool;
use http::Request;
use http_body_util::Full;
use testkit::platform::Platform;

use crate::load::{self, Figures, Target};
use crate::pipes::Server;
use crate::processes::of_command;
use crate::reference;

const SESSIONS: [usize; 2] = [1, 64];

struct Row {
    name: &'static str,
    figures: Vec<Figures>,
}

/// Prints the table.
pub(crate) async fn measure() -> anyhow::Result<()> {
    let mut rows = vec![];

    let mut server = Server::start(std::path::Path::new(&crate::berth()?), &["__welcome"]).await?;
    let mut figures = vec![];
    for sessions in SESSIONS {
        figures.push(server.load(u64::try_from(sessions)?, load::MESSAGE, load::WARM_UP, load::TIME).await?);
    }
    rows.push(Row { name: "the server over pipes", figures });
    drop(server);

    let dir = tempfile::tempdir()?;
    let (socket, leaf, second, first, nginx) = (dir.path().join("leaf"), port()?, port()?, port()?, port()?);
    std::fs::create_dir(&socket)?;
    let unix = format!("unix:{}", socket.display());
    let tcp_leaf = reference::again(&["leaf", &leaf])?;
    let unix_leaf = reference::again(&["leaf", &unix])?;
    let second_hop = reference::again(&["hop", &second, &unix])?;
    let first_hop = reference::again(&["hop", &first, &second])?;
    let nginx_hop = reference::nginx(dir.path(), &nginx, &leaf)?;
    rows.push(reference_row("nginx, one hop", &nginx, &[nginx_hop.pid()]).await?);
    let hops = [first_hop.pid(), second_hop.pid(), unix_leaf.pid()];
    rows.push(reference_row("three empty hops", &first, &hops).await?);
    drop((tcp_leaf, unix_leaf, second_hop, first_hop, nginx_hop));

    rows.push(berth_row("Berth, three hops", "dtma").await?);
    rows.push(berth_row("Berth, two hops", "socket").await?);
    print(&rows)
}

async fn reference_row(name: &'static str, address: &str, pids: &[u32]) -> anyhow::Result<Row> {
    let target = Target {
        address: reference::address(address)?,
        path: "/mcp".to_owned(),
        token: None,
        headers: vec![],
    };
    listening(&target.address).await?;
    let mut figures = vec![];
    for sessions in SESSIONS {
        figures.push(load::run(&target, sessions, pids).await?);
    }
    Ok(Row { name, figures })
}

async fn berth_row(name: &'static str, reach: &str) -> anyhow::Result<Row> {
    let platform = Platform::start_with(&crate::berth()?, &["--reach", reach]);
    let processes = platform.processes();
    let pids: Vec<u32> =
        ["server", "dtma", "shim"].iter().flat_map(|word| of_command(&processes, word)).collect();
    let url = platform.mcp_url("welcome");
    let (host, path) =
        url.strip_prefix("http://").and_then(|rest| rest.split_once('/')).context("no address")?;
    let target = Target {
        address: reference::address(host)?,
        path: format!("/{path}"),
        token: Some(platform.token().to_owned()),
        headers: vec![],
    };
    let mut figures = vec![];
    for sessions in SESSIONS {
        figures.push(load::run(&target, sessions, &pids).await?);
    }
    Ok(Row { name, figures })
}

pub(crate) async fn listening(address: &Address) -> anyhow::Result<()> {
    let pool: Pool<Full<bytes::Bytes>> = Pool::new();
    for _ in 0..500 {
        if pool
            .send(address, Request::post("/mcp").body(Full::default())?)
            .await
            .is_ok_and(|r| r.status() != 502)
        {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    anyhow::bail!("{address} does not answer")
}

/// A free port, as an address.
pub(crate) fn port() -> anyhow::Result<String> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

fn print(rows: &[Row]) -> anyhow::Result<()> {
    let of = |name: &str| rows.iter().find(|row| row.name == name).context("a row is missing");
    let (pipes, empty) = (of("the server over pipes")?, of("three empty hops")?);
    for (at, sessions) in SESSIONS.iter().enumerate() {
        println!(
            "\n| {sessions} session(s) | calls/s | p50 µs | p99 µs | CPU µs per call | p50 over pipes µs |"
        );
        println!("|---|---:|---:|---:|---:|---:|");
        for row in rows {
            let (f, base) = (row.figures[at], pipes.figures[at]);
            let added = if row.name.starts_with("Berth") {
                format!("{:.0}", f.p50_us - base.p50_us)
            } else {
                "–".into()
            };
            println!(
                "| {} | {:.0} | {:.0} | {:.0} | {:.1} | {added} |",
                row.name, f.per_second, f.p50_us, f.p99_us, f.cpu_us
            );
        }
        let (berth, base, empty) =
            (of("Berth, three hops")?.figures[at], pipes.figures[at], empty.figures[at]);
        println!(
            "\nBerth's three hops ÷ three empty hops: p50 {:.2} with the server's own time, {:.2} without it; CPU {:.2}",
            berth.p50_us / empty.p50_us,
            (berth.p50_us - base.p50_us) / empty.p50_us,
            berth.cpu_us / empty.cpu_us,
        );
    }
    Ok(())
}
