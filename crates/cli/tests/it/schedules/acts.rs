//! What is done with instances while somebody dies, all of a schedule at once.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::mcp::Mcp;
use testkit::wait;

use super::plan::{Act, Kind, Moment, Schedule, Victim};
use super::stage::{Stage, names, port_of};
use super::{invariants, victims};

/// A call is answered or fails within this, whoever dies meanwhile.
const CALL_ENDS: Duration = Duration::from_secs(20);
/// How long a call of the fixture's `wait` takes.
const CALL_MS: u64 = 700;
/// A moment that has not come by then was jumped over.
const COMES: Duration = Duration::from_secs(3);

/// What the disk has of an instance.
type Files = BTreeMap<&'static str, String>;

/// An act on its way.
struct Begun<'a> {
    name: String,
    act: &'a Act,
    doing: Doing,
    /// What the disk had of the instance before.
    before: Files,
    /// When the victim dies; unknown before its moment comes.
    due: Option<Instant>,
    /// Whether the moment was met.
    met: bool,
    /// Whether the victim died.
    over: bool,
}

/// How it is done.
enum Doing {
    Command(Child),
    Call(mpsc::Receiver<Result<(), String>>),
}

/// Does all that the schedule says, kills whom it says, and sees that all is as wanted afterwards. Says how many moments
/// were met.
pub(super) fn perform(stage: &mut Stage, schedule: &Schedule, number: usize) -> usize {
    let named: Vec<(String, &Act)> =
        schedule.acts.iter().enumerate().map(|(i, act)| (format!("subject-{number}-{i}"), act)).collect();
    prepare(stage, &named);
    let running = victims::running(stage);
    let mut acts: Vec<Begun<'_>> = named.into_iter().map(|(name, act)| begin(stage, name, act)).collect();
    let killed = kill(stage, schedule, &mut acts);
    let met = acts.iter().filter(|act| act.met).count();
    for act in acts {
        finish(stage, schedule, act);
    }
    stage.settle();
    victims::check_spared(stage, &running, schedule, &killed);
    let subjects: Vec<String> = stage.members.iter().map(|member| member.name.clone()).collect();
    for name in subjects.iter().filter(|name| name.starts_with("subject-")) {
        stage.platform.ok(&["remove", name, "--yes"]);
    }
    stage.members.retain(|member| !member.name.starts_with("subject-"));
    met
}

/// Brings the instances to where the acts begin.
fn prepare(stage: &mut Stage, acts: &[(String, &Act)]) {
    let image = format!("/images/{}", stage.pulled);
    if acts.iter().any(|(_, act)| act.moment == Moment::Pull)
        && stage.docker.get(&format!("{image}/json")).is_some()
    {
        // A container that is just going may still have it.
        stage.settle();
        stage.docker.delete(&image);
    }
    let there = acts.iter().filter(|(_, act)| !matches!(act.moment, Moment::Pull | Moment::Create));
    let there: Vec<(&str, Kind)> = there.map(|(name, act)| (name.as_str(), act.kind)).collect();
    stage.deploy(&there);
    for (name, act) in acts {
        if act.moment == Moment::Start {
            stage.stop(name);
        }
    }
}

fn begin<'a>(stage: &Stage, name: String, act: &'a Act) -> Begun<'a> {
    let before = files(stage, &name);
    let doing = if act.moment == Moment::Call {
        call(stage, &name, act.kind)
    } else {
        let words = words(stage, &name, act);
        let mut command = stage.platform.command(&words.iter().map(String::as_str).collect::<Vec<_>>());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Doing::Command(command.spawn().expect("`berth` starts"))
    };
    Begun { name, act, doing, before, due: None, met: false, over: false }
}

fn words(stage: &Stage, name: &str, act: &Act) -> Vec<String> {
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    match act.moment {
        Moment::Pull => stage.deployment(name, act.kind, true),
        Moment::Create => stage.deployment(name, act.kind, false),
        Moment::Start => owned(&["start", name]),
        Moment::Probe => owned(&["restart", name]),
        Moment::Call => vec![],
        Moment::Stop => owned(&["stop", name]),
        Moment::Remove => owned(&["remove", name, "--yes"]),
    }
}

/// A call that takes its time; returns when it is on its way.
fn call(stage: &Stage, name: &str, kind: Kind) -> Doing {
    let (url, token) = (stage.platform.mcp_url(name), stage.platform.token().to_owned());
    let (docker, port) = (stage.docker, port_of(name));
    let (ready, begun) = mpsc::channel();
    let (tell, answer) = mpsc::channel();
    std::thread::spawn(move || {
        // Nobody listens once the test has failed.
        if kind == Kind::Tool {
            let _ = ready.send(());
            let kept = invariants::get(docker, port, "/kept");
            return drop(tell.send(kept.map(drop).ok_or_else(|| "no answer".to_owned())));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let answer = runtime.block_on(async {
            let client = Mcp::open(&url, &token).await.map_err(|error| format!("{error:#}"))?;
            let _ = ready.send(());
            let result = client.call("wait", json!({"ms": CALL_MS})).await;
            let result = result.map_err(|error| format!("{error:#}"))?;
            if result["content"][0]["text"] == "waited" { Ok(()) } else { Err(format!("wrong: {result}")) }
        });
        drop(tell.send(answer));
    });
    begun.recv_timeout(CALL_ENDS).expect("a session before anything is killed");
    Doing::Call(answer)
}

/// Kills the victim at the moment of each act; what belongs to the engine once, at the first one's, because it is long in
/// coming back. The processes that died.
fn kill(stage: &Stage, schedule: &Schedule, acts: &mut [Begun<'_>]) -> Vec<u32> {
    let once = matches!(schedule.victim, Victim::Dockerd | Victim::Containerd);
    let begun = Instant::now();
    let mut killed = vec![];
    let mut second = schedule.second;
    let mut left = if once { 1 } else { acts.len() };
    while 0 < left {
        for act in acts.iter_mut() {
            if act.due.is_none() && (has_come(stage, act) || COMES < begun.elapsed()) {
                act.met = begun.elapsed() <= COMES;
                act.due = Some(Instant::now() + act.act.after);
            }
        }
        let now = Instant::now();
        let Some(act) = acts.iter_mut().find(|act| !act.over && act.due.is_some_and(|due| due <= now)) else {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        };
        act.over = true;
        let name = act.name.clone();
        killed.append(&mut victims::kill(stage, schedule.victim, &name));
        if let Some((other, later)) = second.take() {
            if (schedule.victim, other) == (Victim::Dtma, Victim::ControlPlane) {
                victims::start_without_control_plane(stage, later);
            } else {
                std::thread::sleep(later);
                killed.append(&mut victims::kill(stage, other, &name));
            }
        }
        left -= 1;
    }
    killed
}

/// Whether the moment of an act has come.
fn has_come(stage: &Stage, begun: &Begun<'_>) -> bool {
    let contained = begun.act.kind != Kind::File || stage.all_contained;
    let word = match begun.act.moment {
        Moment::Pull => "spec.json",
        Moment::Create | Moment::Start if contained => "container",
        Moment::Create | Moment::Start => "record.json",
        Moment::Probe => "shim.pid",
        Moment::Call | Moment::Stop | Moment::Remove => return true,
    };
    let now = files(stage, &begun.name);
    now.contains_key(word) && now.get(word) != begun.before.get(word)
}

/// What the disk has of an instance, of one that is new here too.
fn files(stage: &Stage, name: &str) -> Files {
    let id = match stage.member(name) {
        Some(member) => Some(member.id.clone()),
        None => names(&stage.platform.data().join("dtma/instances")).into_iter().find(|id| {
            stage.members.iter().all(|member| member.id != *id)
                && fs::read_to_string(stage.instance_dir(id).join("spec.json"))
                    .is_ok_and(|spec| spec.contains(&format!("\"{name}\"")))
        }),
    };
    let Some(dir) = id.map(|id| stage.instance_dir(&id)) else { return Files::new() };
    let read = |word: &'static str| Some((word, fs::read_to_string(dir.join(word)).ok()?));
    ["spec.json", "container", "record.json", "shim.pid"].into_iter().filter_map(read).collect()
}

/// Sees what became of an act, and does it again where the control plane died before it said yes. What it said yes to must
/// come true.
fn finish(stage: &mut Stage, schedule: &Schedule, begun: Begun<'_>) {
    let Begun { name, act, doing, .. } = begun;
    let said_yes = match doing {
        Doing::Command(mut child) => {
            wait::until("the end of the command", || child.try_wait().expect("a child of ours")).success()
        }
        Doing::Call(answer) => {
            let answer = answer.recv_timeout(CALL_ENDS).expect("a call ends, whoever dies");
            let harmless = |victim: Victim| match victim {
                Victim::Dtma => true,
                Victim::Containerd | Victim::Dockerd => act.kind == Kind::File && !stage.all_contained,
                Victim::Server | Victim::Shim | Victim::ControlPlane => false,
            };
            if schedule.victims().all(harmless) {
                assert_eq!(answer, Ok(()), "a call that nobody on its way died under");
            }
            return;
        }
    };
    let is_there = wait::until("the list", || {
        let output = stage.platform.run(&["list", "--json"]);
        let list: Value = serde_json::from_slice(&output.stdout).ok()?;
        Some(list.as_array()?.iter().any(|item| item["name"] == name))
    });
    let is_done = said_yes
        || match act.moment {
            Moment::Pull | Moment::Create => is_there,
            Moment::Remove => !is_there,
            _ => false,
        };
    if !is_done {
        let words = words(stage, &name, act);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        wait::until("a yes", || stage.platform.run(&words).status.success().then_some(()));
    }
    match act.moment {
        Moment::Pull | Moment::Create => stage.enter(&name, act.kind, true),
        Moment::Remove => stage.members.retain(|member| member.name != name),
        _ => {
            let member = stage.members.iter_mut().find(|member| member.name == name);
            member.expect("it is there").running = act.moment != Moment::Stop;
        }
    }
}
