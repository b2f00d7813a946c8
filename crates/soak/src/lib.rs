//! Many clients of every era on one shared server, for minutes, while its parts are killed: no answer may be wrong or
//! somebody else's, none may fail to come, and only calls that a kill can have met may fail.
//!
//! `cargo xtask soak` builds and starts it; the tests run it for seconds. It measures no speed: clients pause between
//! their calls, and the table says only how long the longest of them took.

mod calls;
mod client;
mod kills;
pub mod random;
mod record;
mod report;
mod samples;
mod wire;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use http::{HeaderName, HeaderValue, header};
use testkit::platform::Platform;
use tokio::time::Instant;

pub use crate::kills::Part;
pub use crate::report::Report;

use crate::client::{Client, Manner};
use crate::random::Random;
use crate::record::Record;
use crate::wire::Target;

/// The instance's name.
const INSTANCE: &str = "soaked";
/// So long the memory of the first and the last minutes must have settled to be compared.
const COMPARABLE: Duration = Duration::from_mins(6);

/// What is to be done.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The binary under test.
    pub berth: PathBuf,
    /// The fixture server.
    pub fixture: PathBuf,
    /// Clients at once, a third of each manner.
    pub clients: u64,
    /// From the first call on.
    pub time: Duration,
    /// What is killed, and when.
    pub kills: Vec<(Duration, Part)>,
    /// Between two looks at the processes.
    pub sample_every: Duration,
    /// What the clients do follows from it.
    pub seed: u64,
}

impl Plan {
    /// The full length: the server is killed in each minute and the DTMA in every second one, at a time that the seed
    /// chooses.
    pub fn of_minutes(berth: PathBuf, fixture: PathBuf, minutes: u32, seed: u64) -> Self {
        const MINUTE: Duration = Duration::from_mins(1);
        let mut random = Random::new(seed);
        let mut kills = vec![];
        for minute in 1..minutes {
            kills.push((MINUTE * minute + Duration::from_millis(random.below(10_000)), Part::Server));
            if minute % 2 == 0 {
                let half = Duration::from_secs(30) + Duration::from_millis(random.below(10_000));
                kills.push((MINUTE * minute + half, Part::Dtma));
            }
        }
        Self {
            berth,
            fixture,
            clients: 200,
            time: MINUTE * minutes,
            kills,
            sample_every: Duration::from_secs(10),
            seed,
        }
    }

    /// Few clients and one kill of each part.
    pub fn short(berth: PathBuf, fixture: PathBuf, seed: u64) -> Self {
        Self {
            clients: 30,
            time: Duration::from_secs(24),
            kills: vec![(Duration::from_secs(6), Part::Server), (Duration::from_secs(14), Part::Dtma)],
            sample_every: Duration::from_secs(2),
            ..Self::of_minutes(berth, fixture, 1, seed)
        }
    }
}

/// Does it, and says what came of it; [`Report::broken`] is empty when all is well.
///
/// # Errors
/// When it could not be carried out: the server is not deployed, or a client could not begin.
///
/// # Panics
/// When the platform does not start.
pub fn run(plan: &Plan) -> anyhow::Result<Report> {
    ensure!(plan.fixture.is_file(), "the fixture server is missing: run `cargo build -p fixture`");
    let berth = plan.berth.to_str().context("the path of the binary is not UTF-8")?;
    // As to another host: the DTMA is on the path of each call.
    let platform = Platform::start_with(berth, &["--reach", "dtma"]);
    deploy(&platform, &plan.fixture);
    // One thread, as Berth's own processes have: with more, what is measured would have less.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(soak(plan, &platform))
}

/// A legacy server, so that the clients of the other era are translated on the process that all share.
fn deploy(platform: &Platform, fixture: &Path) {
    let server = format!("file:{}", fixture.display());
    let arguments = ["--wait", "--mode", "shared", "--arg=--era", "--arg=legacy"];
    platform.ok(&[&["deploy", &server, "--name", INSTANCE], &arguments[..]].concat());
}

async fn soak(plan: &Plan, platform: &Platform) -> anyhow::Result<Report> {
    let target = target(platform)?;
    let record = Record::new();
    let mut random = Random::new(plan.seed);
    let manners = [Manner::June, Manner::November, Manner::Modern];
    let mut clients = vec![];
    for (number, &manner) in (0..plan.clients).zip(manners.iter().cycle()) {
        let own = Random::new(random.next());
        let mut client = Client::open(number, manner, target.clone(), own, record.clone()).await?;
        // One after the other: all at once they would be more than the server's queue holds, and rightly refused.
        client.warm_up().await?;
        clients.push(client);
    }

    let start = Instant::now();
    let end = start + plan.time;
    let tasks: Vec<_> = clients.into_iter().map(|client| tokio::spawn(client.run(end))).collect();
    let (kills, samples) = tokio::join!(
        kills::carry_out(platform, &target, start, &plan.kills),
        samples::take(platform, start, end, plan.sample_every),
    );
    for task in tasks {
        task.await.context("a client ended before its time")?;
    }
    let running = client::running(&target).await;
    Ok(Report::new(plan, start, record.take(), kills?, samples, running))
}

fn target(platform: &Platform) -> anyhow::Result<Target> {
    let url = platform.mcp_url(INSTANCE);
    let (host, path) =
        url.strip_prefix("http://").and_then(|rest| rest.split_once('/')).context("no address")?;
    let token = HeaderValue::try_from(format!("Bearer {}", platform.token()))?;
    let authorization: (HeaderName, HeaderValue) = (header::AUTHORIZATION, token);
    Ok(Target { address: hop::address::Address::Tcp(host.parse()?), path: format!("/{path}"), authorization })
}
