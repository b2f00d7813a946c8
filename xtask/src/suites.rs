//! `cargo xtask test`: every suite, its seconds beside its budget.

use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::bail;
use testkit::postgres::{SERVER_VARIABLE, Server};

use crate::{bench, fuzz, machine, parts, run};

/// All suites together must stay under this, cold, on two cores.
const BUDGET: Duration = Duration::from_mins(45);

/// Name, seconds it may take, and what it is.
type Step = (&'static str, u64, fn() -> anyhow::Result<()>);

struct Suite {
    name: &'static str,
    /// Seconds, cold, on two cores.
    budget: u64,
    command: Command,
}

/// Runs everything in order and stops at the first failure.
pub(crate) fn test(full: bool, only: &[String]) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut rows = vec![];
    let parts = timed(&mut rows, "parts", 180, parts::install)?;

    let machine = timed(&mut rows, "a machine", 180, machine::make)?;

    // One PostgreSQL for all tests; each makes databases of its own in it.
    let postgres = timed(&mut rows, "PostgreSQL", 30, Server::start)?;
    let mut nextest = run::cargo(&["nextest", "run", "--no-fail-fast"]);
    if std::env::var_os("CI").is_some() {
        nextest.args(["--profile", "ci"]);
    }
    // Tests start it beside `berth`; cargo builds programs only for the tests of their own package.
    timed(&mut rows, "fixture server", 120, || run::run(run::cargo(&["build", "-p", "fixture"])))?;
    let surroundings = |nextest: &mut Command| {
        nextest.env("BERTH_PARTS", &parts).env("INSTA_UPDATE", "no").env(SERVER_VARIABLE, postgres.url());
        nextest.env(testkit::systemd::VARIABLE, &machine);
    };
    surroundings(&mut nextest);
    if !only.is_empty() {
        if full {
            nextest.arg("--ignore-default-filter");
        }
        nextest.args(only);
        return run::run(nextest);
    }
    nextest.arg("--workspace");
    let mut suites = vec![
        Suite { name: "formatting", budget: 15, command: run::cargo(&["fmt", "--all", "--check"]) },
        Suite {
            name: "lints",
            budget: 420,
            command: run::cargo(&[
                "clippy",
                "--workspace",
                "--all-targets",
                "--quiet",
                "--",
                "-D",
                "warnings",
            ]),
        },
        Suite { name: "tests", budget: 1500, command: nextest },
    ];
    if full {
        let mut servers = run::cargo(&["nextest", "run", "-p", "cli", "--test", "servers"]);
        servers.arg("--ignore-default-filter");
        surroundings(&mut servers);
        suites.push(Suite { name: "real servers", budget: 900, command: servers });
        // Other ones than those of the suite above: the seed is another with every run, and printed.
        let mut schedules = run::cargo(&["nextest", "run", "-p", "cli", "--test", "it"]);
        schedules.args([
            "--profile",
            "schedules",
            "--ignore-default-filter",
            "--no-capture",
            "whatever_is_killed_whenever",
        ]);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        schedules.env("BERTH_SCHEDULES", "200").env("BERTH_SEED", now.as_secs().to_string());
        surroundings(&mut schedules);
        suites.push(Suite { name: "fault schedules", budget: 2400, command: schedules });
        suites.push(Suite {
            name: "release build",
            budget: 900,
            command: run::cargo(&["build", "--release"]),
        });
    }
    let mut failed = vec![];
    for suite in suites {
        let result = timed(&mut rows, suite.name, suite.budget, || run::run(suite.command));
        if let Err(error) = result {
            eprintln!("{error:#}");
            failed.push(suite.name);
        }
    }
    if full {
        let more: [Step; 2] =
            [("fuzzing", 420, fuzz::run), ("a thousand hosts", 1800, || bench::bench_strictly("fleet"))];
        for (name, budget, step) in more {
            if let Err(error) = timed(&mut rows, name, budget, step) {
                eprintln!("{error:#}");
                failed.push(name);
            }
        }
    }

    println!("\n{:<16} {:>8} {:>8}", "suite", "seconds", "budget");
    for (name, taken, budget) in &rows {
        let over = if *budget < taken.as_secs() { "  over its budget" } else { "" };
        println!("{name:<16} {:>8.1} {budget:>8}{over}", taken.as_secs_f64());
    }
    println!("{:<16} {:>8.1} {:>8}", "all", started.elapsed().as_secs_f64(), BUDGET.as_secs());
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

fn timed<T>(
    rows: &mut Vec<(&'static str, Duration, u64)>,
    name: &'static str,
    budget: u64,
    work: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    eprintln!("== {name}");
    let started = Instant::now();
    let result = work();
    rows.push((name, started.elapsed(), budget));
    result
}
