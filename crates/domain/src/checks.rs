//! Whether a machine can be an environment, and still does what one should: from what is true of it to what to do about it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The oldest kernel: that of the oldest distributions that are still kept up. With an older one nothing was ever tried.
const OLDEST_KERNEL: (u32, u32) = (5, 10);
/// The oldest Docker engine that the tests run with.
const OLDEST_DOCKER: (u32, u32) = (20, 10);
/// With less free room nothing can be installed, in bytes.
const LEAST_ROOM: u64 = 1 << 30;
/// With less free room a few images fill the disk, in bytes.
const GOOD_ROOM: u64 = 5 << 30;
/// A clock that differs by more breaks certificates and the order of what is logged, in seconds.
const CLOCK: u64 = 60;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Check {
    /// What it is, such as `docker`.
    pub name: String,
    /// Whether it will do.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do; absent where all is well. What stands between backticks is to be typed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// The command that does it, to be run on the host as root, where one command does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

/// Whether something will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It will.
    Ok,
    /// It will, for less than everything.
    Warn,
    /// It will not.
    Fail,
}

impl Check {
    /// Whether it keeps the machine from being an environment.
    pub fn is_failed(&self) -> bool {
        self.verdict == Verdict::Fail
    }
}

/// As people read it, the fix in a line of its own.
impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.verdict {
            Verdict::Ok => "✓",
            Verdict::Warn => "!",
            Verdict::Fail => "✗",
        };
        write!(f, "{sign} {}: {}", self.name, self.found)?;
        match &self.fix {
            Some(fix) => write!(f, "\n  {fix}"),
            None => Ok(()),
        }
    }
}

/// When a machine is looked at: before, what must be there for a host agent to start is asked for too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It is to be an environment.
    Candidate,
    /// It is one, and its host agent looks.
    Running,
}

/// What is true of a machine.
#[derive(Debug, Clone)]
pub struct Facts {
    /// When that is.
    pub stage: Stage,
    /// As `uname -s` says it.
    pub system: String,
    /// The distribution, where it is known.
    pub distribution: Option<Distribution>,
    /// As `uname -m` says it.
    pub architecture: String,
    /// As `uname -r` says it.
    pub kernel: String,
    /// Whether this process is root's.
    pub is_root: bool,
    /// Whether systemd runs it; `None` where nobody wants to know.
    pub has_systemd: Option<bool>,
    /// The version of its control groups.
    pub cgroups: Option<u8>,
    /// Its engine.
    pub docker: Docker,
    /// The version of Node, where there is npm too.
    pub node: Option<String>,
    /// The version of Python, where there is pip too.
    pub python: Option<String>,
    /// The version of `nft`.
    pub nft: Option<String>,
    /// Bytes that are free where the data will lie.
    pub free_bytes: Option<u64>,
    /// The proxy that is its way out, when one was named.
    pub proxy: Option<String>,
    /// The control plane, when one was named.
    pub control: Option<Control>,
}

/// A Linux distribution, from `/etc/os-release`.
#[derive(Debug, Clone, Default)]
pub struct Distribution {
    /// Its own id and those that it is like, such as `ubuntu debian`.
    pub ids: String,
    /// As people call it.
    pub name: String,
}

/// An engine for containers.
#[derive(Debug, Clone)]
pub enum Docker {
    /// There is none.
    Absent,
    /// There is one that does not answer, and why.
    Silent(String),
    /// Its version.
    Version(String),
}

/// A control plane as it was reached.
#[derive(Debug, Clone)]
pub struct Control {
    /// Its address.
    pub url: String,
    /// By how many seconds this machine's clock is ahead, where it said what time it is; or why it was not reached.
    pub ahead: Result<Option<i64>, String>,
}

impl Facts {
    /// Whether packages come with `apt-get`.
    pub fn is_debian_like(&self) -> bool {
        let ids = self.distribution.as_ref().map_or("", |distribution| &*distribution.ids);
        ids.split_whitespace().any(|id| matches!(id, "debian" | "ubuntu"))
    }

    /// The packages of Debian and Ubuntu that have what is missing.
    pub fn missing(&self) -> Vec<&'static str> {
        let lacks = [
            (matches!(self.docker, Docker::Absent), &["docker.io"][..]),
            (self.node.is_none(), &["nodejs", "npm"]),
            (self.python.is_none(), &["python3", "python3-pip"]),
            (self.nft.is_none(), &["nftables"]),
        ];
        lacks.into_iter().filter(|(lacks, _)| *lacks).flat_map(|(_, packages)| packages).copied().collect()
    }
}

/// Everything that was looked at, in the order in which it is shown.
pub fn judge(facts: &Facts) -> Vec<Check> {
    let mut checks =
        vec![system(facts), architecture(&facts.architecture), kernel(&facts.kernel), root(facts)];
    checks.extend(facts.has_systemd.map(systemd));
    checks.extend([
        cgroups(facts.cgroups),
        docker(facts),
        node(facts),
        python(facts),
        nft(facts),
        room(facts),
    ]);
    if let Some(control) = &facts.control {
        checks.push(reached(control));
        checks.extend(clock(control));
    }
    checks
}

fn good(name: &str, found: impl Into<String>) -> Check {
    Check { name: name.to_owned(), verdict: Verdict::Ok, found: found.into(), fix: None, command: None }
}

fn bad(name: &str, verdict: Verdict, found: impl Into<String>, fix: impl Into<String>) -> Check {
    Check { verdict, fix: Some(fix.into()), ..good(name, found) }
}

/// What one command mends.
fn mended(name: &str, verdict: Verdict, found: impl Into<String>, why: &str, command: &str) -> Check {
    Check { command: Some(command.to_owned()), ..bad(name, verdict, found, format!("{why}: `{command}`")) }
}

/// What a package is needed for, which a command installs where packages come with `apt-get`.
fn absent(facts: &Facts, name: &str, found: &str, why: &str, (packages, otherwise): (&str, &str)) -> Check {
    if facts.is_debian_like() {
        return mended(name, Verdict::Warn, found, why, &format!("apt-get install -y {packages}"));
    }
    bad(name, Verdict::Warn, found, format!("{why}: {otherwise}"))
}

fn system(facts: &Facts) -> Check {
    let name = facts.distribution.as_ref().map_or(&*facts.system, |distribution| &*distribution.name);
    if facts.system == "Linux" {
        return good("system", name);
    }
    bad("system", Verdict::Fail, name, "the host agent runs on Linux")
}

fn architecture(found: &str) -> Check {
    if matches!(found, "x86_64" | "aarch64") {
        return good("architecture", found);
    }
    bad("architecture", Verdict::Fail, found, "take a host with an x86_64 or an aarch64 processor")
}

fn kernel(found: &str) -> Check {
    match version(found) {
        Some(version) if OLDEST_KERNEL <= version => good("kernel", found),
        Some(_) => {
            let (major, minor) = OLDEST_KERNEL;
            let fix = format!(
                "{major}.{minor} is the oldest that the host agent runs on: upgrade the host's distribution"
            );
            bad("kernel", Verdict::Fail, found, fix)
        }
        None => bad("kernel", Verdict::Warn, found, "see that it is 5.10 or later"),
    }
}

fn root(facts: &Facts) -> Check {
    if facts.is_root {
        return good("user", "root");
    }
    let (verdict, fix) = match facts.stage {
        Stage::Candidate => (
            Verdict::Fail,
            "run it as root, such as with `sudo`: the host agent makes namespaces and containers",
        ),
        Stage::Running => {
            (Verdict::Warn, "start the host agent as root, and more protects this machine from its servers")
        }
    };
    bad("user", verdict, "not root", fix)
}

fn systemd(is_there: bool) -> Check {
    if is_there {
        return good("service manager", "systemd");
    }
    let fix = "add `--no-service`, and have `berth dtma` started by what starts services here";
    bad("service manager", Verdict::Fail, "no systemd", fix)
}

fn cgroups(version: Option<u8>) -> Check {
    match version {
        Some(version) => good("control groups", format!("version {version}")),
        None => bad(
            "control groups",
            Verdict::Warn,
            "none are mounted",
            "containers need them: mount /sys/fs/cgroup, as systemd does",
        ),
    }
}

fn docker(facts: &Facts) -> Check {
    match &facts.docker {
        Docker::Absent => {
            let elsewhere = "https://docs.docker.com/engine/install/ says how it is installed here";
            let check =
                absent(facts, "docker", "none", "only container images need it", ("docker.io", elsewhere));
            let joins = facts.stage == Stage::Candidate && facts.is_debian_like();
            let also =
                check.fix.as_ref().filter(|_| joins).map(|fix| format!("{fix}, or add `--install-missing`"));
            Check { fix: also.or(check.fix), ..check }
        }
        Docker::Silent(why) => mended(
            "docker",
            Verdict::Warn,
            format!("does not answer ({why})"),
            "start it",
            "systemctl start docker",
        ),
        Docker::Version(found) => match version(found) {
            Some(version) if version < OLDEST_DOCKER => {
                let (major, minor) = OLDEST_DOCKER;
                bad(
                    "docker",
                    Verdict::Warn,
                    found,
                    format!("{major}.{minor} is the oldest that is tested: upgrade it"),
                )
            }
            _ => Check { fix: facts.proxy.as_deref().map(engine_proxy), ..good("docker", found) },
        },
    }
}

/// An engine fetches images itself, with settings of its own.
fn engine_proxy(proxy: &str) -> String {
    format!(
        "it pulls images by its own settings: tell it of {proxy} too, by `HTTPS_PROXY` in a drop-in of docker.service \
         (https://docs.docker.com/engine/daemon/proxy/)"
    )
}

fn node(facts: &Facts) -> Check {
    let how = ("nodejs npm", "install Node 18 or later with npm");
    match &facts.node {
        Some(found) => good("node", found),
        None => absent(facts, "node", "no Node with npm", "packages of npm need it", how),
    }
}

fn python(facts: &Facts) -> Check {
    let how = ("python3 python3-pip", "install Python 3 with pip");
    match &facts.python {
        Some(found) => good("python", found),
        None => absent(facts, "python", "no Python 3 with pip", "packages of PyPI need it", how),
    }
}

fn nft(facts: &Facts) -> Check {
    let how = ("nftables", "install nftables");
    match &facts.nft {
        Some(found) => good("nft", found),
        None => absent(facts, "nft", "none", "what containers may reach is enforced with it", how),
    }
}

fn room(facts: &Facts) -> Check {
    let Some(free) = facts.free_bytes else {
        return bad("disk", Verdict::Warn, "cannot be asked how much is free", "see that 5 GiB are free");
    };
    let found = format!("{} MiB free", free >> 20);
    let (verdict, fix) = match free {
        ..LEAST_ROOM => (Verdict::Fail, "make room: 1 GiB is the least, 5 GiB are better"),
        LEAST_ROOM..GOOD_ROOM => (Verdict::Warn, "a few container images fill that: 5 GiB are better"),
        GOOD_ROOM.. => return good("disk", found),
    };
    let more = match facts.stage {
        Stage::Candidate => "",
        Stage::Running => ". `berth env cleanup` removes what no instance needs",
    };
    bad("disk", verdict, found, format!("{fix}{more}"))
}

fn reached(control: &Control) -> Check {
    match &control.ahead {
        Ok(_) => good("control plane", format!("{} answers", control.url)),
        Err(why) => bad(
            "control plane",
            Verdict::Fail,
            format!("{} is not reached: {why}", control.url),
            "see that it runs, that the address is right as seen from this host, and that no firewall is between",
        ),
    }
}

fn clock(control: &Control) -> Option<Check> {
    let ahead = *control.ahead.as_ref().ok()?;
    let Some(ahead) = ahead else {
        return Some(bad(
            "clock",
            Verdict::Warn,
            "the control plane did not say what time it is",
            "compare the clocks",
        ));
    };
    let (by, way) = (ahead.unsigned_abs(), if ahead < 0 { "behind" } else { "ahead of" });
    if by <= CLOCK {
        return Some(good("clock", "as the control plane's"));
    }
    let found = format!("{by} s {way} the control plane's");
    Some(mended("clock", Verdict::Fail, found, "set it, and keep it set", "timedatectl set-ntp true"))
}

/// The first two numbers of a version.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good_machine() -> Facts {
        Facts {
            stage: Stage::Candidate,
            system: "Linux".to_owned(),
            distribution: Some(Distribution {
                ids: "ubuntu debian".to_owned(),
                name: "Ubuntu 24.04".to_owned(),
            }),
            architecture: "x86_64".to_owned(),
            kernel: "6.8.0-31-generic".to_owned(),
            is_root: true,
            has_systemd: Some(true),
            cgroups: Some(2),
            docker: Docker::Version("27.1.1".to_owned()),
            node: Some("v22.1.0".to_owned()),
            python: Some("Python 3.12.3".to_owned()),
            nft: Some("nftables v1.0.9".to_owned()),
            proxy: None,
            free_bytes: Some(20 << 30),
            control: Some(Control { url: "https://berth.example".to_owned(), ahead: Ok(Some(-60)) }),
        }
    }

    #[test]
    fn a_good_machine_has_nothing_to_fix() {
        let checks = judge(&good_machine());
        assert_eq!(checks.len(), 13);
        for check in checks {
            assert_eq!((check.verdict, &check.fix), (Verdict::Ok, &None), "{check:?}");
        }
    }

    #[test]
    fn what_is_missing_is_known_by_its_packages() {
        assert!(good_machine().missing().is_empty());
        let bare = Facts { docker: Docker::Absent, node: None, python: None, nft: None, ..good_machine() };
        let all = ["docker.io", "nodejs", "npm", "python3", "python3-pip", "nftables"];
        assert_eq!(bare.missing(), all);
        let silent = Facts { docker: Docker::Silent("refused".to_owned()), ..good_machine() };
        assert!(silent.missing().is_empty(), "an engine that does not answer is there");
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut Facts), name: &str, verdict: Verdict, words: &str) {
        let mut facts = good_machine();
        change(&mut facts);
        let checks = judge(&facts);
        let wrong: Vec<&Check> = checks.iter().filter(|check| check.verdict != Verdict::Ok).collect();
        let [one] = wrong[..] else { panic!("not one: {wrong:?}") };
        assert_eq!((&*one.name, one.verdict), (name, verdict));
        assert!(one.fix.is_some() && one.to_string().contains(words), "{one}");
        if let Some(command) = &one.command {
            let fix = one.fix.as_deref().unwrap();
            assert!(fix.contains(&format!(": `{command}`")), "what is read has what is typed: {fix}");
        }
    }

    #[test]
    fn each_thing_that_is_wrong_is_told_with_what_to_do() {
        let other = |facts: &mut Facts| facts.distribution = Some(Distribution::default());
        let ahead = |by| move |facts: &mut Facts| facts.control.as_mut().unwrap().ahead = by;
        check(|facts| facts.system = "Darwin".to_owned(), "system", Verdict::Fail, "runs on Linux");
        check(|facts| facts.architecture = "armv7l".to_owned(), "architecture", Verdict::Fail, "armv7l");
        check(|facts| facts.kernel = "5.4.0-42".to_owned(), "kernel", Verdict::Fail, "5.10 is the oldest");
        check(|facts| facts.kernel = "5.9.16".to_owned(), "kernel", Verdict::Fail, "5.10 is the oldest");
        check(|facts| facts.kernel = "odd".to_owned(), "kernel", Verdict::Warn, "odd");
        check(|facts| facts.is_root = false, "user", Verdict::Fail, "sudo");
        check(|facts| facts.has_systemd = Some(false), "service manager", Verdict::Fail, "--no-service");
        check(|facts| facts.cgroups = None, "control groups", Verdict::Warn, "/sys/fs/cgroup");
        check(|facts| facts.docker = Docker::Absent, "docker", Verdict::Warn, "--install-missing");
        check(
            |facts| {
                other(facts);
                facts.docker = Docker::Absent;
            },
            "docker",
            Verdict::Warn,
            "docs.docker.com",
        );
        check(
            |facts| facts.docker = Docker::Silent("refused".to_owned()),
            "docker",
            Verdict::Warn,
            "(refused)",
        );
        check(
            |facts| facts.docker = Docker::Version("19.03.15".to_owned()),
            "docker",
            Verdict::Warn,
            "20.10",
        );
        check(|facts| facts.node = None, "node", Verdict::Warn, "apt-get install -y nodejs npm");
        check(|facts| facts.python = None, "python", Verdict::Warn, "python3-pip");
        check(|facts| facts.free_bytes = Some((1 << 30) - 1), "disk", Verdict::Fail, "1023 MiB free");
        check(|facts| facts.free_bytes = Some((5 << 30) - 1), "disk", Verdict::Warn, "5119 MiB free");
        check(|facts| facts.free_bytes = None, "disk", Verdict::Warn, "5 GiB");
        check(ahead(Ok(Some(61))), "clock", Verdict::Fail, "61 s ahead of");
        check(ahead(Ok(Some(-3600))), "clock", Verdict::Fail, "3600 s behind");
        check(ahead(Ok(None)), "clock", Verdict::Warn, "did not say");
        check(ahead(Err("refused".to_owned())), "control plane", Verdict::Fail, "is not reached: refused");
    }
    #[test]
    fn a_host_whose_agent_runs_is_judged_by_what_it_can_still_change() {
        fn running(change: impl Fn(&mut Facts)) -> impl FnOnce(&mut Facts) {
            move |facts| {
                facts.stage = Stage::Running;
                facts.has_systemd = None;
                change(facts);
            }
        }
        let no_root = "as root, and more protects";
        check(running(|facts| facts.is_root = false), "user", Verdict::Warn, no_root);
        check(running(|facts| facts.docker = Docker::Absent), "docker", Verdict::Warn, "-y docker.io`");
        check(running(|facts| facts.free_bytes = Some(0)), "disk", Verdict::Fail, "berth env cleanup");
        check(running(|facts| facts.free_bytes = Some(2 << 30)), "disk", Verdict::Warn, "berth env cleanup");
        let mut facts = good_machine();
        running(|facts| facts.docker = Docker::Absent)(&mut facts);
        let checks = judge(&facts);
        assert!(checks.iter().all(|check| check.name != "service manager"), "whoever started it, it runs");
        let docker = checks.iter().find(|check| check.name == "docker").unwrap();
        assert_eq!(docker.command.as_deref(), Some("apt-get install -y docker.io"));
        assert!(!docker.to_string().contains("--install-missing"), "there is no line to add it to: {docker}");
    }

    #[test]
    fn commands_are_there_where_one_does() {
        let of = |change: fn(&mut Facts), name: &str| {
            let mut facts = good_machine();
            change(&mut facts);
            judge(&facts).into_iter().find(|check| check.name == name).unwrap().command
        };
        for (change, name, command) in [
            (
                (|facts| facts.docker = Docker::Silent(String::new())) as fn(&mut Facts),
                "docker",
                Some("systemctl start docker"),
            ),
            (|facts| facts.node = None, "node", Some("apt-get install -y nodejs npm")),
            (|facts| facts.nft = None, "nft", Some("apt-get install -y nftables")),
            (
                |facts| {
                    facts.nft = None;
                    facts.distribution = None;
                },
                "nft",
                None,
            ),
            (
                |facts| facts.control.as_mut().unwrap().ahead = Ok(Some(99)),
                "clock",
                Some("timedatectl set-ntp true"),
            ),
            (|facts| facts.free_bytes = Some(0), "disk", None),
        ] {
            assert_eq!(of(change, name).as_deref(), command, "{name}");
        }
    }
}
