//! Every client against every server, through the whole platform: the revisions and SDKs that there are, and what an
//! agent does with them. The result is the table of `docs/compatibility.md`.
//!
//! With `BERTH_WRITE_DOCS=1` the table is written, otherwise compared. A cell that does not work fails the test either
//! way: it is the table's promise that there is none.

mod rmcp;
mod sdk;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use ::rmcp::ClientLifecycleMode;
use testkit::platform::Platform;
use testkit::wait;

use crate::BERTH;
use sdk::{Language, Sdk};

/// What every client does with every server, and how the table words it.
const STEPS: [(&str, &str); 6] = [
    ("list", "list"),
    ("echo", "call"),
    ("progress", "progress"),
    ("cancel", "cancel"),
    ("elicit", "elicitation"),
    ("sample", "sampling"),
];

const TS1: Sdk = Sdk { language: Language::TypeScript, part: "node", package: "@modelcontextprotocol/sdk" };
const TS2: Sdk =
    Sdk { language: Language::TypeScript, part: "node2", package: "@modelcontextprotocol/client" };
const PY1: Sdk = Sdk { language: Language::Python, part: "python", package: "mcp" };
const PY2: Sdk = Sdk { language: Language::Python, part: "python2", package: "mcp" };
const FASTMCP: Sdk = Sdk { language: Language::Python, part: "fastmcp", package: "fastmcp" };

/// How a server is started.
#[derive(Debug, Clone, Copy)]
enum Program {
    /// A file of `servers`, with its SDK.
    Script(Sdk, &'static str),
    /// The fixture.
    Fixture,
}

/// The servers: instance, title in the table, program, and what else `berth deploy` is told. A program serves HTTP when
/// it is given a `PORT`.
const SERVERS: [(&str, &str, Program, &[&str]); 14] = [
    ("ts1", "TypeScript", Program::Script(TS1, "ts1.mjs"), &[]),
    ("ts2", "TypeScript", Program::Script(TS2, "ts2.mjs"), &[]),
    ("py1", "Python", Program::Script(PY1, "py1.py"), &[]),
    ("py2", "Python", Program::Script(PY2, "py2.py"), &[]),
    ("fastmcp", "FastMCP", Program::Script(FASTMCP, "fastmcp_server.py"), &[]),
    ("rmcp", "rmcp", Program::Fixture, &["--arg=--era", "--arg=dual"]),
    ("rmcp-modern", "rmcp, 2026-07-28 only", Program::Fixture, &["--arg=--era", "--arg=modern"]),
    ("ts1-http", "TypeScript, HTTP", Program::Script(TS1, "ts1.mjs"), &["--transport", "http"]),
    ("ts2-http", "TypeScript, HTTP", Program::Script(TS2, "ts2.mjs"), &["--transport", "http"]),
    ("py1-http", "Python, HTTP", Program::Script(PY1, "py1.py"), &["--transport", "http"]),
    ("py2-http", "Python, HTTP", Program::Script(PY2, "py2.py"), &["--transport", "http"]),
    (
        "fastmcp-http",
        "FastMCP, HTTP",
        Program::Script(FASTMCP, "fastmcp_server.py"),
        &["--transport", "http"],
    ),
    ("rmcp-http", "rmcp, HTTP", Program::Fixture, &["--transport", "http", "--arg=--era", "--arg=dual"]),
    (
        "rmcp-modern-http",
        "rmcp, HTTP, 2026-07-28 only",
        Program::Fixture,
        &["--transport", "http", "--arg=--era", "--arg=modern"],
    ),
];

/// What a client is.
#[derive(Debug, Clone, Copy)]
enum Client {
    /// A file of `clients`, its SDK and its mode.
    Script(Sdk, &'static str, &'static str),
    /// The Rust SDK, with `initialize` or with `server/discover`.
    Rmcp { modern: bool },
}

const CLIENTS: [(&str, Client); 11] = [
    ("TypeScript, HTTP+SSE", Client::Script(TS1, "ts1.mjs", "sse")),
    ("Python, HTTP+SSE", Client::Script(PY1, "py1.py", "sse")),
    ("TypeScript", Client::Script(TS1, "ts1.mjs", "http")),
    ("TypeScript, `legacy`", Client::Script(TS2, "ts2.mjs", "legacy")),
    ("TypeScript, `auto`", Client::Script(TS2, "ts2.mjs", "auto")),
    ("Python", Client::Script(PY1, "py1.py", "http")),
    ("Python, `legacy`", Client::Script(PY2, "py2.py", "legacy")),
    ("Python, `auto`", Client::Script(PY2, "py2.py", "auto")),
    ("FastMCP", Client::Script(FASTMCP, "fastmcp_client.py", "auto")),
    ("rmcp, initialize", Client::Rmcp { modern: false }),
    ("rmcp, discover", Client::Rmcp { modern: true }),
];

/// What came of one client's steps with one server.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Outcome {
    /// By step: `ok`, `not offered` (the SDK's client cannot do that), or what went wrong.
    steps: BTreeMap<String, String>,
    /// The revision that the client ended up with.
    revision: String,
}

impl Outcome {
    /// The steps that went wrong, and how.
    fn faults(&self) -> Vec<(String, String)> {
        let wrong = self.steps.iter().filter(|(_, what)| !["ok", "not offered"].contains(&what.as_str()));
        wrong.map(|(step, what)| (step.clone(), what.clone())).collect()
    }
}

impl Program {
    /// The server's directory or file, made below `dir`.
    fn make(self, name: &str, dir: &Path) -> PathBuf {
        match self {
            Self::Script(sdk, source) => {
                let dir = dir.join(name);
                sdk.server(source, &dir);
                dir
            }
            Self::Fixture => {
                let fixture = Path::new(BERTH).with_file_name("fixture");
                assert!(fixture.is_file(), "the fixture server is missing: run `cargo build -p fixture`");
                fixture
            }
        }
    }

    fn version(self) -> String {
        match self {
            Self::Script(sdk, _) => sdk.version(),
            Self::Fixture => rmcp_version(),
        }
    }
}

impl Client {
    fn version(self) -> String {
        match self {
            Self::Script(sdk, ..) => sdk.version(),
            Self::Rmcp { .. } => rmcp_version(),
        }
    }

    /// With each address, in their order.
    fn run(self, urls: &[String], token: &str, dir: &Path) -> Vec<Outcome> {
        match self {
            Self::Script(sdk, source, mode) => {
                let suffix = if mode == "sse" { "/sse" } else { "" };
                let urls: Vec<String> = urls.iter().map(|url| format!("{url}{suffix}")).collect();
                sdk.client(source, &dir.join("clients"), token, mode, &urls)
            }
            Self::Rmcp { modern } => {
                let mode = if modern { rmcp::discover() } else { ClientLifecycleMode::Initialize };
                urls.iter().map(|url| rmcp::run(url, token, mode.clone())).collect()
            }
        }
    }
}

/// The version that the workspace is locked to.
fn rmcp_version() -> String {
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.lock");
    let lock: toml::Table =
        std::fs::read_to_string(lock).expect("Cargo.lock").parse().expect("Cargo.lock is TOML");
    let packages = lock["package"].as_array().expect("packages");
    let rmcp = packages.iter().find(|package| package["name"].as_str() == Some("rmcp")).expect("rmcp");
    rmcp["version"].as_str().expect("a version").to_owned()
}

/// A directory for one test, empty.
fn scratch(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if dir.exists() {
        std::fs::remove_dir_all(&dir).expect("it can be emptied");
    }
    std::fs::create_dir_all(&dir).expect("a directory");
    for sdk in [TS1, TS2] {
        sdk.copy_clients(&dir.join("clients"));
    }
    dir
}

/// Runs every client against every server, two clients at a time; a row for each client, in their order.
///
/// The first goes alone: what a server asks on standard output names no call, so questions of two calls at once cannot be
/// told apart until it is known that the server asks, after which its calls are one at a time.
fn meet(urls: &[String], token: &str, dir: &Path) -> Vec<Vec<Outcome>> {
    let open = Mutex::new((1..CLIENTS.len()).collect::<Vec<_>>());
    let rows = Mutex::new(BTreeMap::from([(0, CLIENTS[0].1.run(urls, token, dir))]));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                // The lock is held for the look alone.
                let next = || open.lock().unwrap().pop();
                while let Some(index) = next() {
                    let row = CLIENTS[index].1.run(urls, token, dir);
                    rows.lock().unwrap().insert(index, row);
                }
            });
        }
    });
    rows.into_inner().unwrap().into_values().collect()
}

#[test]
fn every_client_works_with_every_server() {
    let dir = scratch("matrix");
    let platform = Platform::start(BERTH);
    for (name, _, program, further) in SERVERS {
        let server = format!("file:{}", program.make(name, &dir.join("servers")).display());
        platform.ok(&[&["deploy", &server, "--name", name, "--wait"], further].concat());
    }
    gather(&platform);
    let urls: Vec<String> =
        SERVERS.iter().map(|(name, ..)| *name).chain([BELT]).map(|name| platform.mcp_url(name)).collect();
    let rows = meet(&urls, platform.token(), &dir);

    let mut wrong = vec![];
    for ((title, client), row) in CLIENTS.iter().zip(&rows) {
        for (name, outcome) in SERVERS.iter().map(|(name, ..)| *name).chain([BELT]).zip(row) {
            for (step, what) in outcome.faults() {
                wrong.push(format!("{title} {} with {name}: {step}: {what}", client.version()));
            }
        }
    }
    assert!(wrong.is_empty(), "{} steps do not work:\n{}", wrong.len(), wrong.join("\n"));
    compare(&table(&rows));
}

/// The toolbelt over ten of the servers, beside one that is dead.
const BELT: &str = "belt";
/// Which member's each tool is that the clients call: of four SDKs, of either era.
const TOOLS: [(&str, &str); 4] =
    [("echo", "py1"), ("slow", "ts2"), ("cancelled", "ts2"), ("ask", "rmcp-modern")];

/// Makes the toolbelt.
fn gather(platform: &Platform) {
    let fixture = format!("file:{}", Program::Fixture.make("dead", Path::new("")).display());
    platform.ok(&["deploy", &fixture, "--name", "dead", "--wait"]);
    platform.ok(&["toolbelt", "create", BELT]);
    for (name, ..) in SERVERS.iter().take(9) {
        platform.ok(&["toolbelt", "add", BELT, name]);
    }
    platform.ok(&["toolbelt", "add", BELT, "dead"]);
    platform.ok(&["stop", "dead"]);
    for (tool, member) in TOOLS {
        // The first member has the name, which it came to first.
        platform.ok(&["toolbelt", "rename", BELT, tool, &format!("ts1_{tool}")]);
        platform.ok(&["toolbelt", "rename", BELT, &format!("{member}_{tool}"), tool]);
    }
}

/// The table as Markdown: a row for each client, a column for each server.
fn table(rows: &[Vec<Outcome>]) -> String {
    let mut text = String::from("| client | revision |");
    for (_, title, program, _) in SERVERS {
        write!(text, " {} |", versioned(title, &program.version())).expect("text");
    }
    text.push_str(" toolbelt of ten |");
    writeln!(text, "\n|---|---|{}", "---|".repeat(SERVERS.len() + 1)).expect("text");
    for ((title, client), row) in CLIENTS.iter().zip(rows) {
        let revisions: BTreeSet<&str> = row.iter().map(|outcome| outcome.revision.as_str()).collect();
        let revisions = Vec::from_iter(revisions).join(", ");
        write!(text, "| {} | {revisions} |", versioned(title, &client.version())).expect("text");
        for outcome in row {
            let missing = STEPS.iter().filter(|(step, _)| outcome.steps[*step] != "ok");
            let missing = missing.map(|(_, word)| *word).collect::<Vec<_>>().join(", ");
            let cell = if missing.is_empty() { "all".to_owned() } else { format!("all but {missing}") };
            write!(text, " {cell} |").expect("text");
        }
        text.push('\n');
    }
    text
}

/// A title with the version behind its name: `Python 2.3.0, legacy`.
fn versioned(title: &str, version: &str) -> String {
    match title.split_once(',') {
        Some((name, rest)) => format!("{name} {version},{rest}"),
        None => format!("{title} {version}"),
    }
}

/// Compares the table with the one in the documentation, or writes it there.
fn compare(table: &str) {
    const START: &str = "<!-- The table is generated: BERTH_WRITE_DOCS=1 cargo xtask test matrix -->\n";
    const END: &str = "<!-- end of the table -->\n";
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/compatibility.md");
    let text = std::fs::read_to_string(&file).expect("docs/compatibility.md");
    let (before, rest) = text.split_once(START).expect("the mark where the table begins");
    let (found, after) = rest.split_once(END).expect("the mark where the table ends");
    if std::env::var_os("BERTH_WRITE_DOCS").is_some_and(|value| value == "1") {
        std::fs::write(file, format!("{before}{START}{table}{END}{after}")).expect("it is written");
    } else {
        assert_eq!(found, table, "docs/compatibility.md is not what was found");
    }
}

/// A server over HTTP on this machine, without Berth.
struct Direct {
    child: Child,
    url: String,
}

impl Direct {
    fn start(program: Program, place: &Path) -> Self {
        // Taken and given back: servers of SDKs cannot say which port they found.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        let mut command = match program {
            Program::Script(sdk, _) if sdk.language == Language::TypeScript => {
                let mut node = Command::new("node");
                node.arg(place.join("main.mjs"));
                node
            }
            Program::Script(..) => Command::new(place.join("server")),
            Program::Fixture => Command::new(place),
        };
        command.env("PORT", address.port().to_string());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let direct =
            Self { child: command.spawn().expect("the server starts"), url: format!("http://{address}/mcp") };
        wait::until("the server's port", || TcpStream::connect(address).ok());
        direct
    }
}

impl Drop for Direct {
    fn drop(&mut self) {
        // It may have ended by itself; then the test says so.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The client of each SDK with a server of the same, without Berth: what fails here is the SDK's or the program's fault.
#[test]
fn sdks_work_with_themselves() {
    let dir = scratch("matrix-direct");
    let pairs = [
        (SERVERS[0].2, Client::Script(TS1, "ts1.mjs", "http")),
        (SERVERS[1].2, Client::Script(TS2, "ts2.mjs", "auto")),
        (SERVERS[2].2, Client::Script(PY1, "py1.py", "http")),
        (SERVERS[3].2, Client::Script(PY2, "py2.py", "auto")),
        (SERVERS[3].2, Client::Script(PY2, "py2.py", "legacy")),
        (SERVERS[4].2, Client::Script(FASTMCP, "fastmcp_client.py", "auto")),
        (SERVERS[5].2, Client::Rmcp { modern: false }),
        (SERVERS[6].2, Client::Rmcp { modern: true }),
    ];
    let mut wrong = vec![];
    for (index, (program, client)) in pairs.into_iter().enumerate() {
        let place = program.make(&index.to_string(), &dir.join("servers"));
        let server = Direct::start(program, &place);
        let outcomes = client.run(std::slice::from_ref(&server.url), "none", &dir);
        wrong.extend(
            outcomes
                .iter()
                .flat_map(Outcome::faults)
                .map(|(step, what)| format!("{client:?}: {step}: {what}")),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
