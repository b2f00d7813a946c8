//! What must hold whatever was killed: everything that is wanted runs and answers, nothing else does, nothing runs twice,
//! and nothing is left of what is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::docker::Docker;
use testkit::mcp::Mcp;
use testkit::processes::{self, Process};

use super::plan::Kind;
use super::stage::{Member, Stage, names};
use super::victims;

/// An instance that runs answers within this.
const ANSWERS: Duration = Duration::from_secs(5);

/// Everything that is not as it should be, in words.
pub(super) fn problems(stage: &Stage) -> Vec<String> {
    let mut problems = vec![];
    statuses(stage, &mut problems);
    if problems.is_empty() {
        answers(stage, &mut problems);
        engine(stage, &mut problems);
        host(stage, &mut problems);
        disk(stage, &mut problems);
    }
    problems
}

/// What a port of the engine's host answers to GET; the host is a network of the engine's own.
pub(super) fn get(docker: &Docker, port: u16, path: &str) -> Option<String> {
    let script = format!(
        "exec 3<>/dev/tcp/127.0.0.1/{port} && printf 'GET {path} HTTP/1.0\\r\\n\\r\\n' >&3 && timeout 5 cat <&3"
    );
    let net = format!("--net=/proc/{}/ns/net", docker.pid());
    let output = Command::new("nsenter").args([&net, "bash", "-c", &script]).output().expect("nsenter");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (head, body) = text.split_once("\r\n\r\n")?;
    head.contains(" 200 ").then(|| body.to_owned())
}

/// What the control plane tells is what is wanted.
fn statuses(stage: &Stage, problems: &mut Vec<String>) {
    let output = stage.platform.run(&["list", "--json"]);
    let Ok(list) = serde_json::from_slice::<Vec<Value>>(&output.stdout) else {
        return problems.push(format!("no list: {}", String::from_utf8_lossy(&output.stderr)));
    };
    let told: BTreeMap<_, _> =
        list.iter().map(|item| (item["name"].as_str().unwrap_or_default(), item)).collect();
    let expected: BTreeSet<&str> = stage.members.iter().map(|member| member.name.as_str()).collect();
    for (name, item) in &told {
        if !expected.contains(name) {
            problems
                .push(format!("`{name}` was removed and is told: {} {}", item["status"], item["message"]));
        }
    }
    for member in &stage.members {
        let wanted = if member.running { "running" } else { "stopped" };
        match told.get(member.name.as_str()) {
            None => problems.push(format!("`{}` is not told", member.name)),
            Some(item) if item["status"] != wanted => {
                let (status, message) = (&item["status"], &item["message"]);
                problems.push(format!("`{}` is not {wanted}: {status} {message}", member.name));
            }
            Some(_) => {}
        }
    }
}

/// Every one that runs answers, on the session that it had before too.
fn answers(stage: &Stage, problems: &mut Vec<String>) {
    for member in stage.members.iter().filter(|member| member.running) {
        if member.kind == Kind::Tool {
            let kept = get(stage.docker, member.port, "/kept");
            let lost = member.name == "tool" && kept.as_deref() != Some("treasure");
            if kept.is_none() || lost {
                problems.push(format!("`{}` answers {kept:?}", member.name));
            }
            continue;
        }
        let answer = stage.tokio.block_on(async {
            let asking = ask(stage, member);
            tokio::time::timeout(ANSWERS, asking).await.unwrap_or_else(|_| Err("no answer".to_owned()))
        });
        if let Err(error) = answer {
            problems.push(format!("`{}`: {error}", member.name));
        }
    }
}

async fn ask(stage: &Stage, member: &Member) -> Result<(), String> {
    let client = if let Some(session) = &member.session {
        session.clone()
    } else {
        let opened = Mcp::open(&stage.platform.mcp_url(&member.name), stage.platform.token()).await;
        opened.map_err(|error| format!("no session: {error:#}"))?
    };
    let answer = client.call("echo", json!({"message": member.name})).await;
    let answer = answer.map_err(|error| format!("{error:#}"))?;
    let text = answer["content"][0]["text"].as_str().unwrap_or_default();
    if text.contains(&member.name) { Ok(()) } else { Err(format!("a wrong answer: {answer}")) }
}

/// What the engine has: a container for each that runs, the volumes of those that are there, one network.
fn engine(stage: &Stage, problems: &mut Vec<String>) {
    let docker = stage.docker;
    let contained = || stage.members.iter().filter(|member| stage.is_contained(member));
    let expected: BTreeSet<String> =
        contained().filter(|member| member.running).map(|member| format!("/berth-{}", member.id)).collect();
    let containers = docker.containers();
    let found: Vec<String> =
        containers.iter().map(|found| found["Names"][0].as_str().unwrap_or_default().to_owned()).collect();
    differ("containers", &expected, &found, problems);
    let mut processes = docker.processes();
    for container in &containers {
        let name = container["Names"][0].as_str().unwrap_or_default();
        if container["State"] != "running" {
            problems.push(format!("{name} is {}", container["State"]));
        }
        let all = processes.remove(container["Id"].as_str().unwrap_or_default()).unwrap_or_default();
        let is_shim = |process: &&Process| !victims::is_server(process);
        let (shims, servers) = (all.iter().filter(is_shim).count(), all.len());
        if (shims, servers) != (1, 2) {
            let lines: Vec<String> = all.iter().map(|process| process.arguments.join(" ")).collect();
            problems.push(format!("{name} should have one shim and one server: {lines:#?}"));
        }
    }
    for (container, all) in processes {
        problems
            .push(format!("processes of a container that the engine does not know, {container}: {all:?}"));
    }
    let volumes = docker.get("/volumes").unwrap_or_default();
    let volumes = volumes["Volumes"].as_array().cloned().unwrap_or_default();
    let volumes = volumes.iter().map(|volume| volume["Name"].as_str().unwrap_or_default().to_owned());
    let tools = stage.members.iter().filter(|member| member.kind == Kind::Tool);
    let expected = tools.map(|member| format!("berth-{}-data", member.id)).collect();
    differ("volumes", &expected, &volumes.collect::<Vec<_>>(), problems);
    let identity = fs::read_to_string(stage.platform.data().join("dtma/docker-identity")).unwrap_or_default();
    // It is there from the first container on, and stays for the next.
    let expected: BTreeSet<String> = [format!("berth-{}", identity.get(..12).unwrap_or_default())].into();
    let mut found = networks(docker);
    found.retain(|name| !stage.networks_before.contains(name));
    differ("networks", &expected, &found, problems);
}

/// The names of all networks.
pub(super) fn networks(docker: &Docker) -> Vec<String> {
    let networks = docker.get("/networks").unwrap_or_default();
    let name = |network: &Value| network["Name"].as_str().map(str::to_owned);
    networks.as_array().into_iter().flatten().filter_map(name).collect()
}

/// What runs beside containers: one shim with one server for each instance that is a process.
fn host(stage: &Stage, problems: &mut Vec<String>) {
    let instances = stage.platform.data().join("dtma/instances");
    let mut shims: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    let mut sandboxed = BTreeSet::new();
    let all = processes::all();
    for process in &all {
        // A shim writes its log into its instance's directory; a sandbox is told of it.
        let log = std::fs::read_link(format!("/proc/{}/fd/1", process.pid)).unwrap_or_default();
        if let Ok(rest) = log.strip_prefix(&instances)
            && process.arguments.get(1).is_some_and(|first| first == "shim")
            && let Some(id) = rest.iter().next()
        {
            shims.entry(id.to_string_lossy().into_owned()).or_default().push(process.pid);
        }
        if process.has("__sandbox")
            && process.arguments.iter().any(|argument| argument.contains(&*instances.to_string_lossy()))
        {
            sandboxed.insert(process.pid);
        }
    }
    for member in stage.members.iter().filter(|member| member.running && !stage.is_contained(member)) {
        let own = shims.remove(&member.id).unwrap_or_default();
        if own.len() != 1 {
            problems.push(format!("`{}` has the shims {own:?}", member.name));
        }
        let servers = victims::servers(stage, member);
        if servers.len() != 1 {
            problems.push(format!("`{}` has the servers {servers:?}", member.name));
        }
        for shim in own {
            for process in processes::below(shim) {
                sandboxed.remove(&process.pid);
            }
        }
    }
    if !shims.is_empty() || sandboxed.iter().any(|pid| processes::is_alive(*pid)) {
        problems.push(format!("shims {shims:?} and sandboxes {sandboxed:?} of nobody"));
    }
}

/// What lies on the disk.
fn disk(stage: &Stage, problems: &mut Vec<String>) {
    let dtma = stage.platform.data().join("dtma");
    let ids: BTreeSet<String> = stage.members.iter().map(|member| member.id.clone()).collect();
    differ("instance directories", &ids, &names(&dtma.join("instances")), problems);
    for id in names(&dtma.join("sockets")) {
        let within = names(&dtma.join("sockets").join(&id));
        if !ids.contains(&id) || within.iter().any(|name| name == "config.sock") {
            problems.push(format!("sockets of {id}: {within:?}"));
        }
    }
    let packages = names(&dtma.join("packages"));
    let trees = packages.iter().filter(|name| name.starts_with("sha256-")).count();
    let strange = packages.iter().any(|name| name != "requests" && !name.starts_with("sha256-"));
    // The one `file:`.
    if 1 < trees || strange {
        problems.push(format!("packages: {packages:?}"));
    }
}

fn differ(what: &str, expected: &BTreeSet<String>, found: &[String], problems: &mut Vec<String>) {
    let unique: BTreeSet<String> = found.iter().cloned().collect();
    if unique != *expected || unique.len() != found.len() {
        problems.push(format!("{what}: {found:?} instead of {expected:?}"));
    }
}
