//! The program `nft`: scripts go in on its standard input and are one transaction each; what a table holds comes out.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use domain::egress::Blocked;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::member::Member;
use super::rules::{self, Names, Present};

/// A transaction takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);
/// Where it is when a service's PATH does not say so.
const PLACES: [&str; 2] = ["/usr/sbin/nft", "/sbin/nft"];

/// Why the packet filter did not do what it was asked, in words.
pub(super) type Trouble = String;

/// The program; `None` when it is not installed.
pub(super) fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|directory| directory.join("nft"));
    on_path.chain(PLACES.iter().map(PathBuf::from)).find(|file| file.is_file())
}

/// Runs a script as one transaction.
pub(super) async fn run(program: &Path, script: &str) -> Result<(), Trouble> {
    ask(program, &["-f", "-"], script).await.map(drop)
}

/// Whether this kernel takes a script, without doing it. Blocks for some milliseconds.
pub(super) fn check(program: &Path, script: &str) -> Result<(), Trouble> {
    let tried = || {
        let mut child = std::process::Command::new(program)
            .args(["-c", "-f", "-"])
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut input) = child.stdin.take() {
            // One that ends early says why.
            let _ = input.write_all(script.as_bytes());
        }
        child.wait_with_output()
    };
    let output = tried().map_err(|error| format!("{} cannot be run: {error}", program.display()))?;
    if output.status.success() { Ok(()) } else { Err(reason(&output.stderr)) }
}

/// What the table of the family `inet` holds; `None` when one of the two is not there.
pub(super) async fn list(program: &Path, table: &str) -> Result<Option<Value>, Trouble> {
    let listed = match ask(program, &["-t", "list", "table", "bridge", table], "").await {
        Ok(_is_there) => ask(program, &["-j", "list", "table", "inet", table], "").await,
        Err(words) => Err(words),
    };
    match listed {
        Ok(text) => {
            serde_json::from_slice(&text).map(Some).map_err(|error| format!("nft gave no JSON: {error}"))
        }
        Err(words) if words.contains("No such file or directory") => Ok(None),
        Err(words) => Err(words),
    }
}

async fn ask(program: &Path, arguments: &[&str], script: &str) -> Result<Vec<u8>, Trouble> {
    let asking = async {
        let mut child = Command::new(program)
            .args(arguments)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        if let Some(mut input) = child.stdin.take() {
            // One that ends early says why.
            let _ = input.write_all(script.as_bytes()).await;
        }
        child.wait_with_output().await
    };
    let output = tokio::time::timeout(PATIENCE, asking)
        .await
        .map_err(|_| format!("nft did not answer within {} s", PATIENCE.as_secs()))?
        .map_err(|error| format!("{} cannot be run: {error}", program.display()))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(reason(&output.stderr))
}

fn reason(said: &[u8]) -> Trouble {
    let said = String::from_utf8_lossy(said);
    let first = said.lines().find(|line| !line.trim().is_empty()).unwrap_or("no reason was given");
    format!("nft: {}", first.trim())
}

/// What the table has that is of single instances.
pub(super) fn present(listing: &Value) -> Present {
    let mut present = Present::default();
    for item in listing["nftables"].as_array().into_iter().flatten() {
        for (kind, names) in [("chain", &mut present.chains), ("set", &mut present.sets)] {
            if let Some(name) = item[kind]["name"].as_str().filter(|name| rules::is_of_an_instance(name)) {
                names.push(name.to_owned());
            }
        }
    }
    present
}

/// What an instance wanted lately and could not reach.
pub(super) fn blocked(listing: &Value, member: &Member) -> Vec<Blocked> {
    let names = Names::of(member);
    let items = listing["nftables"].as_array().into_iter().flatten();
    let mut found = Vec::new();
    for set in items.map(|item| &item["set"]) {
        if set["name"] != names.blocked.as_str() && set["name"] != names.blocked_other.as_str() {
            continue;
        }
        for element in set["elem"].as_array().into_iter().flatten() {
            let parts = element["elem"]["val"]["concat"].as_array().or_else(|| element["concat"].as_array());
            let Some([host, protocol, rest @ ..]) = parts.map(Vec::as_slice) else { continue };
            let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let port = rest.first().and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok());
            found.push(Blocked { protocol: text(protocol), host: text(host), port });
        }
    }
    found
}

/// Puts addresses into an instance's sets for some seconds, counted anew for those that are there.
pub(super) fn naming(
    table: &str,
    member: &Member,
    addresses: &[(Ipv4Addr, Option<u16>)],
    seconds: u32,
) -> String {
    let names = Names::of(member);
    let mut script = String::new();
    for (address, port) in addresses {
        let (set, key) = match port {
            None => (&names.named, address.to_string()),
            Some(port) => (&names.named_port, format!("{address} . {port}")),
        };
        // An element that is there keeps its time, so it is taken out first; and only what is there can be.
        // Writing to a text does not fail.
        let _ = write!(
            script,
            "add element inet {table} {set} {{ {key} timeout 1h }}\n\
             delete element inet {table} {set} {{ {key} }}\n\
             add element inet {table} {set} {{ {key} timeout {seconds}s }}\n"
        );
    }
    script
}
