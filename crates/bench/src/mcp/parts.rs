//! What is measured: the same server behind Berth, behind others, and alone. Everything is started once and runs to the
//! end; who is not called costs next to nothing.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use testkit::platform::Platform;
use testkit::processes::below;

use super::clients::{Clients, Era, Way};
use crate::calls::port;
use crate::reference::{self, Running};

/// How the server is spoken to by what is in front of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    Stdio,
    Http,
}

impl Link {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Stdio => "stdio",
            Self::Http => "http",
        }
    }
}

/// Something that can be called.
pub(crate) struct Part {
    pub(crate) link: Link,
    pub(crate) name: &'static str,
    pub(crate) way: Way,
    held: Vec<Held>,
}

/// Runs as long as it is held.
#[derive(Clone)]
enum Held {
    Process(Rc<Running>),
    Platform(Rc<Platform>),
    Files { _dir: Rc<tempfile::TempDir> },
}

impl Part {
    /// Every process that a call passes, the server included.
    pub(crate) fn pids(&self) -> Vec<u32> {
        let of = |held: &Held| match held {
            Held::Process(running) => {
                std::iter::once(running.pid()).chain(below(running.pid()).iter().map(|p| p.pid)).collect()
            }
            Held::Platform(platform) => platform.processes().iter().map(|process| process.pid).collect(),
            Held::Files { .. } => vec![],
        };
        self.held.iter().flat_map(of).collect()
    }
}

/// Servers of HTTP get a port in the place of `{port}`.
fn arguments(link: Link, era: Era, address: &str) -> Vec<String> {
    let era = if era == Era::Modern { "modern" } else { "legacy" };
    let mut arguments = vec!["--era".to_owned(), era.to_owned()];
    if link == Link::Http {
        arguments.extend(["--transport", "http", "--listen", address].map(str::to_owned));
    }
    arguments
}

/// Berth: `reach` is how its gateway comes to the shim.
pub(crate) fn berth(reach: &str, ways: &[(Link, &'static str, Era, Era)]) -> anyhow::Result<Vec<Part>> {
    let platform = Rc::new(Platform::start_with(&crate::berth()?, &["--reach", reach]));
    let server = format!("file:{}", crate::fixture()?);
    let mut parts = vec![];
    for &(link, name, client, speaks) in ways {
        let era = if speaks == Era::Modern { "modern" } else { "legacy" };
        let instance = format!("{}-{era}", link.word());
        if platform.instance(&instance).is_none() {
            let mut words: Vec<String> = [
                "deploy",
                &server,
                "--name",
                &instance,
                "--wait",
                "--mode",
                "shared",
                "--transport",
                link.word(),
            ]
            .map(str::to_owned)
            .into();
            words.extend(
                arguments(link, speaks, "127.0.0.1:{port}").iter().map(|word| format!("--arg={word}")),
            );
            platform.ok(&words.iter().map(String::as_str).collect::<Vec<_>>());
        }
        parts.push(Part {
            link,
            name,
            way: way_to(&platform, &instance, client)?,
            held: vec![Held::Platform(Rc::clone(&platform))],
        });
    }
    Ok(parts)
}

/// The way to an instance.
pub(crate) fn way_to(platform: &Platform, instance: &str, era: Era) -> anyhow::Result<Way> {
    let url = platform.mcp_url(instance);
    let (host, path) =
        url.strip_prefix("http://").and_then(|rest| rest.split_once('/')).context("no address")?;
    let token = Some(platform.token().to_owned());
    Ok(Way { address: reference::address(host)?, path: format!("/{path}"), token, tool: "echo", era })
}

/// The server itself over HTTP, and nginx in front of it.
pub(crate) fn direct(nginx: &'static str, name: &'static str, era: Era) -> anyhow::Result<Vec<Part>> {
    let (address, front) = (port()?, port()?);
    let mut command = Command::new(crate::fixture()?);
    command.args(arguments(Link::Http, era, &address));
    let server = start(&mut command)?;
    let dir = tempfile::tempdir()?;
    let hop = Held::Process(Rc::new(reference::nginx(dir.path(), &front, &address)?));
    let files = Held::Files { _dir: Rc::new(dir) };
    Ok(vec![
        Part { link: Link::Http, name, way: way(&address, "/mcp", "echo", era)?, held: vec![server.clone()] },
        Part {
            link: Link::Http,
            name: nginx,
            way: way(&front, "/mcp", "echo", era)?,
            held: vec![server, hop, files],
        },
    ])
}

/// Two processes that only forward, and one that gives back what it was sent.
pub(crate) fn empty_hops(name: &'static str) -> anyhow::Result<Part> {
    let dir = tempfile::tempdir()?;
    let socket = dir.path().join("leaf");
    std::fs::create_dir(&socket)?;
    let unix = format!("unix:{}", socket.display());
    let (second, first) = (port()?, port()?);
    let mut held = vec![];
    for words in [&["mirror", &*unix][..], &["hop", &second, &unix], &["hop", &first, &second]] {
        held.push(Held::Process(Rc::new(reference::again(words)?)));
    }
    held.push(Held::Files { _dir: Rc::new(dir) });
    Ok(Part { link: Link::Stdio, name, way: way(&first, "/mcp", "echo", Era::Bare)?, held })
}

/// Others, as their own documentation starts them, over pipes and, those that can, in front of a server over HTTP.
pub(crate) fn peers(peers: &Path, over_http: &Part) -> anyhow::Result<Vec<Part>> {
    let fixture = crate::fixture()?;
    let stdio = [&*fixture, "--era", "legacy"];
    let url = format!("http://{}/mcp", over_http.way.address);
    let mut parts = vec![];

    for (link, backend) in [
        (
            Link::Stdio,
            format!("transport = \"stdio\"\ncommand = {fixture:?}\nargs = [\"--era\", \"legacy\"]\n"),
        ),
        (Link::Http, format!("transport = \"http\"\nurl = {url:?}\n")),
    ] {
        let address = port()?;
        let dir = tempfile::tempdir()?;
        let file = dir.path().join("proxy.toml");
        let number = number(&address);
        let text = format!(
            "[observability]\nlog_level = \"error\"\n[proxy]\nname = \"bench\"\n[proxy.listen]\nhost = \"127.0.0.1\"\nport = {number}\n[[backends]]\nname = \"b\"\n{backend}"
        );
        std::fs::write(&file, text)?;
        let mut command = Command::new(peers.join("cargo/bin/mcp-proxy"));
        command.arg("--config").arg(&file);
        let mut held = vec![start(&mut command)?, Held::Files { _dir: Rc::new(dir) }];
        held.extend(if link == Link::Http { over_http.held.clone() } else { vec![] });
        parts.push(Part {
            link,
            name: "crate mcp-proxy",
            way: way(&address, "/", "b/echo", Era::Legacy)?,
            held,
        });
    }

    let node = |name: &str| -> PathBuf { peers.join("node/node_modules/.bin").join(name) };
    let mut one = |name: &'static str, address: &str, command: &mut Command| -> anyhow::Result<()> {
        let held = vec![start(command)?];
        parts.push(Part { link: Link::Stdio, name, way: way(address, "/mcp", "echo", Era::Legacy)?, held });
        Ok(())
    };
    let address = port()?;
    one(
        "npm supergateway",
        &address,
        Command::new(node("supergateway"))
            .args(["--stdio", &stdio.join(" "), "--outputTransport", "streamableHttp", "--stateful"])
            .args(["--logLevel", "none", "--port", number(&address)]),
    )?;
    let address = port()?;
    one(
        "npm mcp-proxy",
        &address,
        Command::new(node("mcp-proxy"))
            .args(["--host", "127.0.0.1", "--server", "stream", "--port", number(&address), "--"])
            .args(stdio),
    )?;
    let address = port()?;
    one(
        "PyPI mcp-proxy",
        &address,
        Command::new("python3")
            .env("PYTHONPATH", peers.join("python-mcp-proxy"))
            .args(["-m", "mcp_proxy", "--log-level", "ERROR", "--port", number(&address), "--"])
            .args(stdio),
    )?;

    for link in [Link::Stdio, Link::Http] {
        let address = port()?;
        let mut command = Command::new("python3");
        command.env("PYTHONPATH", peers.join("python-fastmcp")).args(["-c", FASTMCP, number(&address)]);
        let mut held = vec![];
        if link == Link::Stdio {
            command.args(stdio);
        } else {
            command.arg(&url);
            held.extend(over_http.held.clone());
        }
        held.push(start(&mut command)?);
        parts.push(Part {
            link,
            name: "FastMCP proxy",
            way: way(&address, "/mcp", "echo", Era::Legacy)?,
            held,
        });
    }
    Ok(parts)
}

/// Its proxy is a program of three lines.
const FASTMCP: &str = r#"
import sys
from fastmcp.server import create_proxy
port, target, *rest = sys.argv[1:]
if not target.startswith("http"):
    target = {"mcpServers": {"b": {"command": target, "args": rest}}}
create_proxy(target).run(transport="http", host="127.0.0.1", port=int(port), show_banner=False, log_level="ERROR")
"#;

/// Waits until a part takes a session.
pub(crate) async fn ready(part: &Part) -> anyhow::Result<()> {
    const PATIENCE: Duration = Duration::from_mins(1);
    let deadline = Instant::now() + PATIENCE;
    loop {
        match Clients::open(&part.way, 1).await {
            Ok(clients) => {
                clients.close().await;
                return Ok(());
            }
            Err(error) if deadline < Instant::now() => {
                bail!("{} ({}) does not answer: {error:#}", part.name, part.link.word())
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

fn way(address: &str, path: &str, tool: &'static str, era: Era) -> anyhow::Result<Way> {
    Ok(Way { address: reference::address(address)?, path: path.to_owned(), token: None, tool, era })
}

fn number(address: &str) -> &str {
    address.rsplit(':').next().unwrap_or_default()
}

/// What it prints is thrown away: some print a line for every call, which would be paid for by the terminal.
fn start(command: &mut Command) -> anyhow::Result<Held> {
    let shown = format!("{command:?}");
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    Ok(Held::Process(Rc::new(Running(child.with_context(|| format!("{shown}: run `cargo xtask bench`"))?))))
}
