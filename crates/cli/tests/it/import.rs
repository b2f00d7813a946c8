//! An older platform's database, taken over by the command; also by one that is killed in the middle.

use std::process::Stdio;
use std::time::{Duration, Instant};

use testkit::legacy::Legacy;
use testkit::platform::Platform;
use testkit::{postgres, wait};

use crate::BERTH;

const PATIENCE: Duration = Duration::from_mins(3);
/// So many that the command is still at work when the first of them are there.
const MANY: u32 = 150;

#[test]
fn an_older_platform_is_shown_and_then_taken_over() {
    let platform = Platform::start(BERTH);
    let legacy = Legacy::mcp();
    let shown = platform.ok(&["import", "legacy", &legacy.url]);
    for words in ["create", "environment", "my-toolbox", "give again", "left out", "context7-mcp-server-1750"]
    {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    assert!(!shown.contains("hunter2") && !shown.contains("token-1"), "{shown}");
    assert!(!platform.ok(&["account", "list"]).contains("ada-1"), "nothing was written");

    let done = platform.json(&["import", "legacy", &legacy.url, "--account", "default", "--apply"]);
    assert_eq!(done["applied"], true);
    // The control plane that runs beside it looks every few seconds.
    for name in ["context7-mcp-server-1750", "db-3"] {
        wait::until("what was imported", || platform.instance(name));
    }
    let again = platform.json(&["import", "legacy", &legacy.url, "--account", "default", "--apply"]);
    let lines = again["lines"].as_array().expect("lines");
    assert!(lines.iter().all(|line| line["verdict"] != "create"), "{again:#}");

    let failed = platform.run(&["import", "legacy", &legacy.url, "--account", "nobody"]);
    let said = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert_eq!(failed.status.code(), Some(1), "{said}");
    assert!(
        said.contains("there is no account `nobody`") && said.contains("berth account create nobody"),
        "{said}"
    );
}

#[test]
fn an_import_that_is_killed_is_finished_by_the_next() {
    let platform = Platform::start(BERTH);
    let legacy = Legacy::instances_of(MANY);
    let (straight, killed) = (postgres::database(), postgres::database());
    let import = |database: &str| {
        let mut command = platform.command(&["import", "legacy", "--apply", "--json"]);
        // As an operator does who wants neither password on a command line.
        command
            .env("BERTH_LEGACY_DATABASE", &legacy.url)
            .env("BERTH_DATABASE", database)
            .stdout(Stdio::null());
        command
    };
    assert!(import(&straight).status().expect("it starts").success());
    let expected = meaning(&straight);

    let deadline = Instant::now() + PATIENCE;
    let mut running = import(&killed).spawn().expect("it starts");
    while accounts(&killed) < 3 {
        assert!(
            running.try_wait().expect("a child").is_none() && Instant::now() < deadline,
            "it was never seen at work"
        );
    }
    running.kill().expect("it runs");
    running.wait().expect("it ended");
    let between = accounts(&killed);
    assert!((3..MANY).contains(&between), "{between} of {MANY} accounts were there when it was killed");
    assert!(import(&killed).status().expect("it starts").success());
    let found = meaning(&killed);
    let only: Vec<_> = found.iter().filter(|line| !expected.contains(line)).take(3).collect();
    assert!(found == expected, "{} rows and {} expected: {only:#?}", found.len(), expected.len());
}

/// How many accounts were finished; none while there are no tables.
fn accounts(database: &str) -> u32 {
    let there = postgres::run(database, "SELECT to_regclass('berth.toolbelts') IS NOT NULL");
    if there.trim() != "t" {
        return 0;
    }
    postgres::run(database, "SELECT count(*) FROM berth.accounts").trim().parse().expect("a number")
}

/// Every row of what an import writes, without what is sealed anew each time. A test of the importer's own opens that.
fn meaning(database: &str) -> Vec<String> {
    let tables = postgres::run(
        database,
        "SELECT tablename FROM pg_tables WHERE schemaname = 'berth' AND tablename NOT IN ('audit_log')
            AND tablename NOT LIKE '\\_sqlx%'",
    );
    let rows = tables.lines().map(|table| {
        format!(
            "SELECT '{table} ' || (to_jsonb(t) - 'dtma_token_sealed' - 'secrets_sealed' - 'encrypted_credentials')::text
            FROM berth.{table} t"
        )
    });
    let all = postgres::run(database, &rows.collect::<Vec<_>>().join(" UNION ALL "));
    let mut lines: Vec<String> = all.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}
