//! What authentication, rules and audit add to a call together: the gateway beside a hop that does nothing of it, before the same shim of the
//! same instance, in turn, so that whatever else the machine does is in both.

use anyhow::Context as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use testkit::platform::Platform;

use crate::calls::{listening, port};
use crate::load::{self, Figures, Target};
use crate::reference;

const ROUNDS: usize = 5;
/// What all three may add at the median.
const GOAL_US: f64 = 25.0;

/// Prints the table.
pub(crate) async fn measure() -> anyhow::Result<()> {
    let platform = Platform::start_with(&crate::berth()?, &["--reach", "socket"]);
    // A token for one tool, so that each call has a rule that the shim applies.
    let made = platform.json(&["token", "create", "bench", "--scope", "mcp:call:welcome/echo"]);
    let token = made["secret"].as_str().context("no token was made")?.to_owned();
    let url = platform.mcp_url("welcome");
    let (host, path) =
        url.strip_prefix("http://").and_then(|rest| rest.split_once('/')).context("no address")?;
    let with = Target {
        address: reference::address(host)?,
        path: format!("/{path}"),
        token: Some(token),
        headers: Vec::new(),
    };

    let instance = platform.instance("welcome").context("no instance")?;
    let id = instance["id"].as_str().context("no id")?;
    let socket = platform.data().join("dtma/sockets").join(id);
    let (listen, socket) = (port()?, format!("unix:{}", socket.display()));
    let hop = reference::again(&["hop", &listen, &socket])?;
    let without = Target {
        address: reference::address(&listen)?,
        path: "/mcp".to_owned(),
        token: None,
        headers: vec![
            (domain::shim::KEY_HEADER, key(&platform, id)?),
            (domain::shim::PRINCIPAL_HEADER, "user:bench".to_owned()),
        ],
    };
    listening(&without.address).await?;

    let mut rounds: Vec<(Figures, Figures)> = vec![];
    for round in 0..ROUNDS {
        // Who is first changes, since the machine may be warmer for the second.
        let pair = if round % 2 == 0 {
            let with = load::run(&with, 1, &[]).await?;
            (with, load::run(&without, 1, &[]).await?)
        } else {
            let without = load::run(&without, 1, &[]).await?;
            (load::run(&with, 1, &[]).await?, without)
        };
        rounds.push(pair);
    }
    drop(hop);
    print(&rounds)
}

/// The key between gateway and shim (`control::secrets`), which the hop's caller shows in the gateway's place.
fn key(platform: &Platform, id: &str) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(platform.data().join("control/master.key"))?;
    let (_, digits) = text.lines().next().and_then(|line| line.split_once(' ')).context("no master key")?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&bytes(digits)?)?;
    mac.update(b"instance-key");
    mac.update(&bytes(&id.replace('-', ""))?);
    let digits = mac.finalize().into_bytes();
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16);
    Ok(digits.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).flatten().collect())
}

fn bytes(digits: &str) -> anyhow::Result<Vec<u8>> {
    let pairs = digits.trim().as_bytes().chunks(2);
    pairs.map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?)).collect()
}

fn print(rounds: &[(Figures, Figures)]) -> anyhow::Result<()> {
    let median = |of: &dyn Fn(&(Figures, Figures)) -> f64| {
        let mut all: Vec<f64> = rounds.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    let added = median(&|(with, without)| with.p50_us - without.p50_us);
    println!("\n| 1 session, medians of {ROUNDS} rounds in turn | p50 µs | p99 µs |");
    println!("|---|---:|---:|");
    println!(
        "| gateway, with authentication, rule and audit | {:.1} | {:.1} |",
        median(&|r| r.0.p50_us),
        median(&|r| r.0.p99_us)
    );
    println!(
        "| empty hop before the same shim | {:.1} | {:.1} |",
        median(&|r| r.1.p50_us),
        median(&|r| r.1.p99_us)
    );
    println!(
        "\nAuthentication, rules and audit together add {added:.1} µs p50 per call (goal ≤ {GOAL_US:.0})."
    );
    anyhow::ensure!(
        added <= GOAL_US || std::env::var_os("BENCH_STRICT").is_none(),
        "authentication, rules and audit add {added:.1} µs"
    );
    Ok(())
}
