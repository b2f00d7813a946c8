//! `kill -9` of the server or of the DTMA in the midst of the calls, and how long it takes until calls are answered again.

use std::time::Duration;

use anyhow::Context as _;
use testkit::platform::Platform;
use testkit::processes;
use tokio::time::Instant;

use crate::client;
use crate::random::Random;
use crate::wire::Target;

/// After this nobody waits any longer for a part to come back.
const PATIENCE: Duration = Duration::from_mins(1);

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The MCP server, below its shim.
    Server,
    /// The host agent.
    Dtma,
}

/// A time in which calls may fail.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outage {
    pub(crate) part: Part,
    pub(crate) from: Instant,
    /// When there was another process and a call was answered; `None` when that never came to pass.
    pub(crate) until: Option<Instant>,
}

impl Part {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Dtma => "DTMA",
        }
    }

    fn pid(self, platform: &Platform) -> Option<u32> {
        let all = platform.processes();
        let found = all.into_iter().find(|process| match self {
            Self::Server => process.has("--era") && !process.has("__sandbox"),
            Self::Dtma => process.arguments.get(1).is_some_and(|word| word == "dtma"),
        });
        found.map(|process| process.pid)
    }
}

/// Kills each part at its time.
pub(crate) async fn carry_out(
    platform: &Platform,
    target: &Target,
    start: Instant,
    kills: &[(Duration, Part)],
) -> anyhow::Result<Vec<Outage>> {
    let mut outages = vec![];
    let mut random = Random::new(0);
    for &(at, part) in kills {
        tokio::time::sleep_until(start + at).await;
        let old = part.pid(platform).with_context(|| format!("there is no {}", part.name()))?;
        let from = Instant::now();
        processes::kill(old);
        let mut until = None;
        while until.is_none() && from.elapsed() < PATIENCE {
            let is_another = part.pid(platform).is_some_and(|pid| pid != old);
            if is_another && client::is_answered(target, &mut random).await {
                until = Some(Instant::now());
            } else {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        outages.push(Outage { part, from, until });
    }
    Ok(outages)
}
