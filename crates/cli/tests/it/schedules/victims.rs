//! Who is killed, and that nobody else was.

use std::collections::BTreeMap;
use std::time::Duration;

use rustix::process::Signal;
use testkit::processes::{self, Process};
use testkit::wait;

use super::plan::{Kind, Moment, Schedule, Victim};
use super::stage::{Member, Stage};

/// A part that has just been killed is there again within this.
const THERE: Duration = Duration::from_secs(3);

/// Kills one part; of the instance `name` where it has one, of a standing one otherwise. The processes that died.
pub(super) fn kill(stage: &Stage, victim: Victim, name: &str) -> Vec<u32> {
    let find = || match victim {
        Victim::Server => target(stage, name).and_then(|member| servers(stage, member).into_iter().next()),
        Victim::Shim => target(stage, name).and_then(|member| shim(stage, member)),
        Victim::Dtma => own(stage, "dtma"),
        Victim::ControlPlane => own(stage, "server"),
        Victim::Dockerd => Some(stage.docker.pid()),
        Victim::Containerd => stage.docker.containerd(),
    };
    let deadline = std::time::Instant::now() + THERE;
    while std::time::Instant::now() < deadline {
        if let Some(pid) = find() {
            processes::kill(pid);
            return vec![pid];
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    vec![]
}

/// The control plane hangs while another DTMA starts, and is killed when that is there.
pub(super) fn start_without_control_plane(stage: &Stage, later: Duration) {
    let Some(hanging) = own(stage, "server") else { return };
    processes::signal(hanging, Signal::STOP);
    wait::until("another DTMA", || own(stage, "dtma"));
    std::thread::sleep(later);
    processes::kill(hanging);
}

/// The instance's own process id of its shim, in a container or not.
pub(super) fn shim(stage: &Stage, member: &Member) -> Option<u32> {
    let text = std::fs::read_to_string(stage.instance_dir(&member.id).join("shim.pid")).ok()?;
    let pid = text.split(' ').next()?.parse().ok()?;
    processes::is_alive(pid).then_some(pid)
}

/// Its server's processes.
pub(super) fn servers(stage: &Stage, member: &Member) -> Vec<u32> {
    let Some(shim) = shim(stage, member) else { return vec![] };
    let all = processes::below(shim);
    all.iter().filter(|process| is_server(process)).map(|process| process.pid).collect()
}

/// Whether it is a server, and not what starts one.
pub(super) fn is_server(process: &Process) -> bool {
    !process.has("__sandbox") && process.arguments.get(1).is_none_or(|first| first != "shim")
}

/// Shim and servers of every running instance.
pub(super) fn running(stage: &Stage) -> BTreeMap<String, (Option<u32>, Vec<u32>)> {
    let running = stage.members.iter().filter(|member| member.running);
    running.map(|member| (member.name.clone(), (shim(stage, member), servers(stage, member)))).collect()
}

/// Whoever was not killed goes on with the same processes.
pub(super) fn check_spared(
    stage: &Stage,
    before: &BTreeMap<String, (Option<u32>, Vec<u32>)>,
    schedule: &Schedule,
    killed: &[u32],
) {
    let engine = schedule.victims().any(|victim| matches!(victim, Victim::Dockerd | Victim::Containerd));
    let after = running(stage);
    for member in stage.members.iter().filter(|member| member.running) {
        let Some((shim, servers)) = before.get(&member.name) else { continue };
        let died = shim.iter().chain(servers).any(|pid| killed.contains(pid));
        // The acts are numbered, at the end of the name; all but a call change what runs.
        let act = member.name.strip_prefix("subject-").and_then(|rest| rest.rsplit('-').next()?.parse().ok());
        let acted_on = act.is_some_and(|act: usize| schedule.acts[act].moment != Moment::Call);
        if died || acted_on || (engine && stage.is_contained(member)) {
            continue;
        }
        assert_eq!(
            after.get(&member.name),
            Some(&(*shim, servers.clone())),
            "`{}` was started again, and nobody had killed it",
            member.name
        );
    }
}

fn own(stage: &Stage, word: &str) -> Option<u32> {
    let all = stage.platform.processes();
    all.into_iter().find(|p| p.arguments.get(1).is_some_and(|first| first == word)).map(|p| p.pid)
}

fn target<'a>(stage: &'a Stage, name: &str) -> Option<&'a Member> {
    let standing = || stage.members.iter().find(|member| member.running && member.kind == Kind::Stdio);
    stage.member(name).filter(|member| shim(stage, member).is_some()).or_else(standing)
}
