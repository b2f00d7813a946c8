//! From what is to whether it will do. Pure: no file, no clock, no network.

use super::{Check, Verdict};

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

/// What is true of a machine.
#[derive(Debug, Clone)]
pub(in super::super) struct Facts {
    /// As `uname -s` says it.
    pub(in super::super) system: String,
    /// The distribution, where it is known.
    pub(in super::super) distribution: Option<Distribution>,
    /// As `uname -m` says it.
    pub(in super::super) architecture: String,
    /// As `uname -r` says it.
    pub(in super::super) kernel: String,
    /// Whether this process is root's.
    pub(in super::super) is_root: bool,
    /// Whether systemd runs it; `None` where nobody wants to know.
    pub(in super::super) has_systemd: Option<bool>,
    /// The version of its control groups.
    pub(in super::super) cgroups: Option<u8>,
    /// Its engine.
    pub(in super::super) docker: Docker,
    /// The version of Node, where there is npm too.
    pub(in super::super) node: Option<String>,
    /// The version of Python, where there is pip too.
    pub(in super::super) python: Option<String>,
    /// The version of `nft`.
    pub(in super::super) nft: Option<String>,
    /// Bytes that are free where the data will lie.
    pub(in super::super) free_bytes: Option<u64>,
    /// The proxy that is its way out, when one was named.
    pub(in super::super) proxy: Option<String>,
    /// The control plane, when one was named.
    pub(in super::super) control: Option<Control>,
}

/// A Linux distribution, from `/etc/os-release`.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Distribution {
    /// Its own id and those that it is like, such as `ubuntu debian`.
    pub(in super::super) ids: String,
    /// As people call it.
    pub(in super::super) name: String,
}

/// An engine for containers.
#[derive(Debug, Clone)]
pub(in super::super) enum Docker {
    /// There is none.
    Absent,
    /// There is one that does not answer, and why.
    Silent(String),
    /// Its version.
    Version(String),
}

/// A control plane as it was reached.
#[derive(Debug, Clone)]
pub(in super::super) struct Control {
    /// Its address.
    pub(in super::super) url: String,
    /// By how many seconds this machine's clock is ahead, where it said what time it is; or why it was not reached.
    pub(in super::super) ahead: Result<Option<i64>, String>,
}

impl Facts {
    /// Whether packages come with `apt-get`.
    pub(in super::super) fn is_debian_like(&self) -> bool {
        let ids = self.distribution.as_ref().map_or("", |distribution| &*distribution.ids);
        ids.split_whitespace().any(|id| matches!(id, "debian" | "ubuntu"))
    }

    /// The packages of Debian and Ubuntu that have what is missing.
    pub(in super::super) fn missing(&self) -> Vec<&'static str> {
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
pub(in super::super) fn judge(facts: &Facts) -> Vec<Check> {
    let mut checks =
        vec![system(facts), architecture(&facts.architecture), kernel(&facts.kernel), root(facts)];
    checks.extend(facts.has_systemd.map(systemd));
    checks.extend([
        cgroups(facts.cgroups),
        docker(facts),
        node(facts),
        python(facts),
        nft(facts),
        room(facts.free_bytes),
    ]);
    if let Some(control) = &facts.control {
        checks.push(reached(control));
        checks.extend(clock(control));
    }
    checks
}

fn good(name: &'static str, found: impl Into<String>) -> Check {
    Check { name, verdict: Verdict::Ok, found: found.into(), fix: None }
}

fn bad(name: &'static str, verdict: Verdict, found: impl Into<String>, fix: impl Into<String>) -> Check {
    Check { name, verdict, found: found.into(), fix: Some(fix.into()) }
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
    bad(
        "user",
        Verdict::Fail,
        "not root",
        "run it as root, such as with `sudo`: the host agent makes namespaces and containers",
    )
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
    let install = if facts.is_debian_like() {
        "only container images need it: `apt-get install -y docker.io`, or add `--install-missing`"
    } else {
        "only container images need it: https://docs.docker.com/engine/install/ says how it is installed here"
    };
    match &facts.docker {
        Docker::Absent => bad("docker", Verdict::Warn, "none", install),
        Docker::Silent(why) => bad(
            "docker",
            Verdict::Warn,
            format!("does not answer ({why})"),
            "start it: `systemctl start docker`",
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
    let fix = if facts.is_debian_like() {
        "`apt-get install -y nodejs npm`"
    } else {
        "install Node 18 or later with npm"
    };
    match &facts.node {
        Some(found) => good("node", found),
        None => bad("node", Verdict::Warn, "no Node with npm", format!("packages of npm need it: {fix}")),
    }
}

fn python(facts: &Facts) -> Check {
    let fix = if facts.is_debian_like() {
        "`apt-get install -y python3 python3-pip`"
    } else {
        "install Python 3 with pip"
    };
    match &facts.python {
        Some(found) => good("python", found),
        None => {
            bad("python", Verdict::Warn, "no Python 3 with pip", format!("packages of PyPI need it: {fix}"))
        }
    }
}

fn nft(facts: &Facts) -> Check {
    let fix = if facts.is_debian_like() { "`apt-get install -y nftables`" } else { "install nftables" };
    match &facts.nft {
        Some(found) => good("nft", found),
        None => {
            bad("nft", Verdict::Warn, "none", format!("what containers may reach is enforced with it: {fix}"))
        }
    }
}

fn room(free: Option<u64>) -> Check {
    let Some(free) = free else {
        return bad("disk", Verdict::Warn, "cannot be asked how much is free", "see that 5 GiB are free");
    };
    let found = format!("{} MiB free", free >> 20);
    if free < LEAST_ROOM {
        return bad("disk", Verdict::Fail, found, "make room: 1 GiB is the least, 5 GiB are better");
    }
    if free < GOOD_ROOM {
        return bad("disk", Verdict::Warn, found, "a few container images fill that: 5 GiB are better");
    }
    good("disk", found)
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
    let fix = "set it, and keep it set: `timedatectl set-ntp true`";
    Some(bad("clock", Verdict::Fail, format!("{by} s {way} the control plane's"), fix))
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
        assert_eq!((one.name, one.verdict), (name, verdict));
        assert!(one.fix.is_some() && one.text().contains(words), "{}", one.text());
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
}
