//! What is asked of each server of the catalog, and what it must answer.

use std::path::Path;
use std::process::Command;

/// One server of the catalog and one call of one of its tools.
#[derive(Debug)]
pub(crate) struct Case {
    /// Its name in the catalog.
    pub(crate) entry: &'static str,
    /// What its SDK can speak.
    pub(crate) eras: &'static str,
    /// Beyond the catalog's defaults: flags of `berth deploy`, with `{site}` and `{postgres}`.
    pub(crate) flags: &'static [&'static str],
    /// What must lie in the instance's own directory before the call.
    pub(crate) prepare: Option<fn(&Path)>,
    /// A tool that gives the same answer whenever it is called.
    pub(crate) tool: &'static str,
    /// Its arguments, JSON, with `{site}` and `{work}`.
    pub(crate) arguments: &'static str,
    /// What it must answer.
    pub(crate) expected: Expected,
}

/// What a tool must answer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Expected {
    /// A result whose text has this in it.
    Result(&'static str),
    /// A result that reports an error (`isError`) whose text has this in it.
    ToolError(&'static str),
}

use Expected::{Result, ToolError};

/// Only what `initialize` opens.
const LEGACY: &str = "legacy";
/// Either, decided by the first message of a process or mixed on one.
const BOTH: &str = "both";

/// A case with nothing beyond the catalog's defaults.
const fn case(
    entry: &'static str,
    eras: &'static str,
    tool: &'static str,
    arguments: &'static str,
    expected: Expected,
) -> Case {
    Case { entry, eras, flags: &[], prepare: None, tool, arguments, expected }
}

/// In the catalog's order.
pub(crate) const CASES: &[Case] = &[
    case("welcome", BOTH, "add", r#"{"a": 40, "b": 2}"#, Result("42")),
    case("everything", LEGACY, "echo", r#"{"message": "hi"}"#, Result("Echo: hi")),
    case(
        "filesystem",
        LEGACY,
        "write_file",
        r#"{"path": "{work}/note.txt", "content": "hi"}"#,
        Result("Successfully wrote"),
    ),
    case("memory", LEGACY, "read_graph", "{}", Result(r#""entities""#)),
    case(
        "time",
        BOTH,
        "convert_time",
        r#"{"source_timezone": "UTC", "time": "12:00", "target_timezone": "Asia/Tokyo"}"#,
        Result("T21:00:00+09:00"),
    ),
    Case {
        prepare: Some(repository),
        ..case("git", BOTH, "git_status", r#"{"repo_path": "repository"}"#, Result("No commits yet"))
    },
    case(
        "sequential-thinking",
        LEGACY,
        "sequentialthinking",
        r#"{"thought": "so", "thoughtNumber": 1, "totalThoughts": 1, "nextThoughtNeeded": false}"#,
        Result("thoughtHistoryLength"),
    ),
    Case {
        flags: &["--set", "url={postgres}"],
        ..case(
            "postgres-mcp",
            LEGACY,
            "query",
            r#"{"sql": "SELECT 6 * 7 AS answer"}"#,
            Result(r#""answer": 42"#),
        )
    },
    Case { prepare: Some(document), ..case("pdf", LEGACY, "list_pdfs", "{}", Result("/work/document.pdf")) },
    case("system-monitor", LEGACY, "get-system-info", "{}", Result(r#""platform":"linux"#)),
    case("basic-vanillajs", LEGACY, "get-time", "{}", Result("Z")),
    Case {
        flags: &["--set", "api_url={site}/context7"],
        ..case(
            "context7",
            BOTH,
            "resolve-library-id",
            r#"{"query": "how to call it", "libraryName": "berth"}"#,
            Result("/berth/example"),
        )
    },
    // Neither brings a browser, and none is where these tests run: each says so in its answer.
    case(
        "playwright",
        LEGACY,
        "browser_navigate",
        r#"{"url": "about:blank"}"#,
        ToolError("is not installed"),
    ),
    case("chrome-devtools", LEGACY, "list_pages", "{}", ToolError("Could not find Google Chrome")),
    Case {
        flags: &["--secret", "token=ntn_nobody", "--set", "api_url={site}/notion"],
        ..case("notion", LEGACY, "API-get-self", "{}", Result("Berth's tests"))
    },
    // Where it finds Node, it installs a better reader of pages into its own package with each call, which nobody may write:
    // the catalog keeps it from using Node.
    Case {
        flags: &["--arg=--allow-private-ips"],
        ..case("fetch", BOTH, "fetch", r#"{"url": "{site}/page"}"#, Result("Served to fetch"))
    },
    case(
        "excel",
        BOTH,
        "create_workbook",
        r#"{"path": "numbers.xlsx", "overwrite": true}"#,
        Result("numbers.xlsx"),
    ),
    case("word", BOTH, "create_document", r#"{"filename": "letter.docx"}"#, Result("created successfully")),
    case("calculator", LEGACY, "calculate", r#"{"expression": "6 * 7"}"#, Result("42")),
    case(
        "timeserver",
        LEGACY,
        "calculate_time_distance",
        r#"{"from_date": "2026-01-01", "to_date": "2026-01-08"}"#,
        Result("7 days"),
    ),
    case("sqlite", LEGACY, "read_query", r#"{"query": "SELECT 6 * 7 AS answer"}"#, Result("42")),
    case("duckdb", LEGACY, "query", r#"{"query": "SELECT 6 * 7 AS answer"}"#, Result("42")),
];

/// An empty repository of the server's user: Git refuses other people's.
fn repository(work: &Path) {
    let path = work.join("repository");
    run(Command::new("git").args(["init", "--quiet"]).arg(&path));
    run(Command::new("chown").arg("--recursive").arg("--reference").arg(work).arg(&path));
}

fn document(work: &Path) {
    std::fs::write(work.join("document.pdf"), "%PDF-1.4\n").expect("the instance's own directory");
}

fn run(command: &mut Command) {
    let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?}: {status}");
}
