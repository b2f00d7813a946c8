//! A PostgreSQL for tests: one private server for each test process, one fresh database for each test.
//!
//! `BERTH_TEST_POSTGRES` may name a running server instead (a URL of a user who may make databases); the databases made
//! there are left behind. A server of our own listens on a Unix socket alone, sorts texts as English does (so that a test
//! which relies on byte order fails), and ends with the test process, however that ends.

use std::fs;
use std::io::{Read as _, Seek as _};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

/// Names a server to use instead of starting one.
pub const SERVER_VARIABLE: &str = "BERTH_TEST_POSTGRES";

/// How long a server may take to start on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// Makes a cluster and runs its server until the standard input ends. That is a pipe whose other end only the test process
/// has, so it ends with that process, however that ends; then the server is ended and the directory removed.
const KEEPER: &str = r#"
home=$1; programs=$2; shift 2
if "$@" "$programs/initdb" -D "$home/data" --auth=trust --username=postgres --encoding=UTF8 --no-sync \
    --locale=C.UTF-8 --locale-provider=icu --icu-locale=en-US </dev/null
then
    "$@" "$programs/postgres" -D "$home/data" -k "$home" -p 5432 -c listen_addresses= -c fsync=off -c full_page_writes=off \
        -c synchronous_commit=off -c max_connections=200 -c shared_buffers=16MB </dev/null &
    server=$!
    # A server that has no socket yet may not have its signal handlers either, and would not hear the end.
    for _ in $(seq 600); do [ -S "$home/.s.PGSQL.5432" ] && break; sleep 0.05; done
    read -r _
    kill -QUIT $server
    wait $server
fi
rm -rf "$home"
"#;

/// A fresh, empty database; its URL. Blocks while the process's server starts.
///
/// # Panics
/// When no server can be started or it makes no database; the message says what to install.
pub fn database() -> String {
    match try_database() {
        Ok(url) => url,
        Err(error) => panic!("{error:#}"),
    }
}

/// Runs statements on the database of a URL, as `psql` would, and gives back what it prints.
///
/// # Panics
/// When a statement fails.
pub fn run(url: &str, statements: &str) -> String {
    match programs().and_then(|programs| psql(&programs, url, statements)) {
        Ok(printed) => printed,
        Err(error) => panic!("{error:#}"),
    }
}

/// A running server. It ends when this is dropped, and when the process ends in whatever way.
#[derive(Debug)]
pub struct Server {
    url: String,
    keeper: Child,
}

impl Server {
    /// Makes a cluster in a temporary directory and starts it. As root it runs as the user `postgres`, which refuses root.
    ///
    /// # Errors
    /// When PostgreSQL is not installed or does not start; the message has its last words.
    pub fn start() -> Result<Self> {
        let programs = programs()?;
        let home = tempfile::Builder::new().prefix("berth-postgres-").tempdir()?;
        let as_user = user(home.path())?;
        let mut log = tempfile::tempfile()?;
        let mut keeper = Command::new("/bin/sh");
        keeper
            .args(["-c", KEEPER, "sh"])
            .arg(home.path())
            .arg(&programs)
            .args(as_user)
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log.try_clone()?)
            .current_dir(home.path())
            .process_group(0);
        let keeper = keeper.spawn().context("/bin/sh cannot be started")?;
        let home = home.keep();
        let url = format!("postgres://postgres@localhost:5432/postgres?host={}", home.display());
        let mut server = Self { url, keeper };
        server.wait_until_it_answers(&programs, &mut log)?;
        Ok(server)
    }

    /// The URL of its database `postgres`, as a superuser.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Leaves the server running until the process ends.
    pub fn into_url(self) -> String {
        let url = self.url.clone();
        std::mem::forget(self);
        url
    }

    fn wait_until_it_answers(&mut self, programs: &Path, log: &mut fs::File) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let Err(error) = psql(programs, &self.url, "SELECT 1") else { return Ok(()) };
            let ended = self.keeper.try_wait()?;
            if ended.is_none() && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(20));
                continue;
            }
            let mut said = String::new();
            log.rewind()?;
            log.read_to_string(&mut said)?;
            bail!("PostgreSQL does not answer: {error:#}\n{said}");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // The keeper ends once the server has; there is nothing to do about one that does not.
        let _ = self.keeper.wait();
    }
}

fn try_database() -> Result<String> {
    static SERVER: OnceLock<std::result::Result<String, String>> = OnceLock::new();
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let server = SERVER.get_or_init(|| match std::env::var(SERVER_VARIABLE) {
        Ok(url) => Ok(url),
        Err(_) => Server::start().map(Server::into_url).map_err(|e| format!("{e:#}")),
    });
    let server = server.as_ref().map_err(|e| anyhow::anyhow!("{e}"))?;
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("t{}_{}_{count}", since.as_micros(), std::process::id());
    psql(&programs()?, server, &format!("CREATE DATABASE {name}"))?;
    with_database(server, &name)
}

/// Where the newest installed PostgreSQL has its programs.
fn programs() -> Result<PathBuf> {
    let newest = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version: u32 = entry.file_name().to_str()?.parse().ok()?;
            let programs = entry.path().join("bin");
            programs.join("postgres").exists().then_some((version, programs))
        })
        .max();
    match newest {
        Some((_, programs)) => Ok(programs),
        None => bail!("PostgreSQL is not installed: run `apt-get install postgresql-15`"),
    }
}

/// What to put before a command so that it does not run as root, having given `home` to that user.
fn user(home: &Path) -> Result<Vec<String>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(Vec::new());
    }
    let passwd = fs::read_to_string("/etc/passwd")?;
    let mut fields = passwd
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.first() == Some(&"postgres"))
        .context("there is no user `postgres`: run `apt-get install postgresql-15`")?
        .into_iter()
        .skip(2);
    let (uid, gid) = (fields.next().context("no uid")?.parse()?, fields.next().context("no gid")?.parse()?);
    chown(home, Some(uid), Some(gid))?;
    let user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"];
    Ok(user.map(str::to_owned).to_vec())
}

fn psql(programs: &Path, url: &str, statements: &str) -> Result<String> {
    let done = Command::new(programs.join("psql"))
        .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", "--command"])
        .arg(statements)
        .arg(url)
        .stdin(Stdio::null())
        .output()
        .context("psql cannot be started")?;
    ensure!(done.status.success(), "psql: {}", String::from_utf8_lossy(&done.stderr).trim_end());
    Ok(String::from_utf8(done.stdout)?)
}

/// The same URL with another database.
fn with_database(url: &str, name: &str) -> Result<String> {
    let (address, parameters) = url.split_once('?').map_or((url, None), |(a, p)| (a, Some(p)));
    let (scheme, rest) = address.split_once("://").context("the server's URL has no scheme")?;
    let host = rest.split_once('/').map_or(rest, |(host, _)| host);
    let parameters = parameters.map_or_else(String::new, |p| format!("?{p}"));
    Ok(format!("{scheme}://{host}/{name}{parameters}"))
}
