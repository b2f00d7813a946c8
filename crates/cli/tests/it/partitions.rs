//! Networks that come apart, in both directions and in one, for a moment and for long, while things are deployed, called, removed
//! and moved away: states are honest, all heals by itself, and an instance with a lease is never on two hosts at once.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use testkit::docker::Docker;
use testkit::hosts::{CONTROL, Hosts, Loss};
use testkit::mcp::Mcp;
use testkit::platform::Platform;
use testkit::wait;

use crate::BERTH;
use crate::conformance::fixture;
use crate::hosts::{Way, join, run, until_environment};

const HEARTBEAT: Duration = Duration::from_millis(200);
/// What a busy machine may add to a time that is promised.
const SLACK: Duration = Duration::from_secs(3);
/// Shorter than three heartbeats.
const MOMENT: Duration = Duration::from_millis(300);
/// Between two calls of one who listens to the answers; refused ones come back at once.
const PACE: Duration = Duration::from_millis(20);
const NAMES: [&str; 2] = ["first", "second"];

/// Sees on which hosts an instance runs, all the time.
#[derive(Default)]
struct Witness {
    stop: AtomicBool,
    looks: AtomicUsize,
    twice: AtomicUsize,
}

impl Witness {
    fn watch(&self, instance: &str, hosts: [&Docker; 2]) {
        let path = format!("/containers/berth-{instance}/json");
        while !self.stop.load(Ordering::Relaxed) {
            let runs =
                |docker: &&Docker| docker.get(&path).is_some_and(|found| found["State"]["Running"] == true);
            let count = hosts.iter().filter(|docker| runs(docker)).count();
            self.looks.fetch_add(1, Ordering::Relaxed);
            self.twice.fetch_add(usize::from(1 < count), Ordering::Relaxed);
        }
    }
}

/// Calls one instance all the time and looks at who answers: the right instance, and never a process that another one has already
/// taken the place of. Calls may fail, for that is what cut networks do.
struct Listener {
    name: &'static str,
    session: Mcp,
}

impl Listener {
    /// The processes that answered, in their order.
    fn listen(&self, stop: &AtomicBool) -> Vec<String> {
        let mut lives: Vec<String> = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            std::thread::sleep(PACE);
            let Ok(answer) = run(self.session.call("who", json!({}))) else { continue };
            let words = answer["content"][0]["text"].as_str().expect("it says who it is").to_owned();
            let (name, life) = words.split_once(' ').expect("a name and a life");
            assert_eq!(name, self.name, "another instance answered");
            if lives.last().is_none_or(|last| last != life) {
                assert!(!lives.iter().any(|known| known == life), "{life} answered again after {lives:?}");
                lives.push(life.to_owned());
            }
        }
        lives
    }
}

struct Fleet {
    platform: Platform,
    hosts: Hosts,
}

impl Fleet {
    fn start() -> Self {
        let heartbeat = HEARTBEAT.as_millis().to_string();
        let mut hosts = Hosts::start(BERTH, 2, heartbeat.parse().expect("a number"));
        hosts.enter();
        let arguments = ["--runtime", "process", "--heartbeat-ms", &heartbeat];
        let platform = Platform::start_at(BERTH, &format!("{CONTROL}:8420"), &arguments, &[]);
        let list = platform.json(&["env", "list"]);
        let own = list[0]["name"].as_str().expect("the control plane's own machine");
        // Nothing is moved there: it has no engine.
        platform.ok(&["env", "cordon", own]);
        for (i, name) in NAMES.iter().enumerate() {
            let host = hosts.host(i + 1);
            host.docker().image("stdio:1", &[("/fixture", &fixture())], &[r#"ENTRYPOINT ["/fixture"]"#]);
            join(&platform, host, name, Way::Tunnel);
            until_environment(&platform, name, "active");
        }
        Self { platform, hosts }
    }

    fn lose(&mut self, host: usize, loss: Option<Loss>) {
        let host = self.hosts.host(host + 1);
        match loss {
            Some(loss) => host.lose(loss),
            None => host.lose_nothing(),
        }
    }

    fn runs_on(&self, environment: &str) -> bool {
        let mover = self.platform.instance("mover").expect("it is there");
        mover["environment"] == environment && mover["status"] == "running"
    }

    /// A cut that is over before anything is done about it. A call either waits for its end or is told that it may have been lost.
    fn a_moment(&mut self, session: &Mcp, loss: Loss, at: usize) {
        self.lose(at, Some(loss));
        let calling = {
            let session = session.clone();
            std::thread::spawn(move || run(session.call("test_simple_text", json!({}))).map(drop))
        };
        std::thread::sleep(MOMENT);
        self.lose(at, None);
        if let Err(error) = calling.join().expect("it does not panic") {
            let said = format!("{error:#}");
            assert!(said.contains("is not known") || said.contains("does not answer"), "{loss:?}: {said}");
        }
        until_environment(&self.platform, NAMES[at], "active");
        wait::until("the next call", || run(session.call("test_simple_text", json!({}))).ok());
        assert!(self.runs_on(NAMES[at]), "{loss:?}: it was moved for a moment's sake");
    }

    /// A cut that lasts until everything has gone its way.
    fn for_long(&mut self, session: &Mcp, loss: Loss, from: usize) {
        let to = 1 - from;
        let old = format!("old-{from}-{loss:?}").to_lowercase();
        let late = format!("late-{from}-{loss:?}").to_lowercase();
        self.platform.ok(&["deploy", "welcome", "--name", &old, "--env", NAMES[from], "--wait"]);
        self.lose(from, Some(loss));
        let begun = Instant::now();
        until_environment(&self.platform, NAMES[from], "unresponsive");
        assert!(begun.elapsed() <= HEARTBEAT * 3 + SLACK, "{loss:?}: noticed after {:?}", begun.elapsed());
        self.platform.ok(&["deploy", "welcome", "--name", &late, "--env", NAMES[from]]);
        self.platform.ok(&["remove", &old, "--yes"]);
        wait::until("the instance elsewhere", || self.runs_on(NAMES[to]).then_some(()));
        run(session.call("test_simple_text", json!({})))
            .unwrap_or_else(|error| panic!("{loss:?}: {error:#}"));
        let kept = self.platform.instance(&late).expect("it waits");
        assert_eq!(kept["status"], "pending_deploy", "{loss:?}");

        self.lose(from, None);
        until_environment(&self.platform, NAMES[from], "active");
        self.platform.wait_for(&late, "running");
        wait::until("the end of what was removed", || self.platform.instance(&old).is_none().then_some(()));
        let id =
            self.platform.instance("mover").expect("it is there")["id"].as_str().expect("an id").to_owned();
        let host = self.hosts.host(from + 1);
        let path = format!("/containers/berth-{id}/json");
        wait::until("the end of the container that was left behind", || {
            host.docker().get(&path).is_none().then_some(())
        });
        assert!(self.runs_on(NAMES[to]), "{loss:?}: it stays where it is");
    }
}

#[test]
fn cut_networks_heal_and_nothing_runs_twice() {
    let mut fleet = Fleet::start();
    let lease = ["--failover", "--lease", "2", "--lost-after", "13"];
    for (name, lease) in [("mover", &lease[..]), ("stayer", &[])] {
        let setting = format!("NAME={name}");
        let deploy = ["deploy", "oci:stdio:1", "--name", name, "--set", &setting, "--mode", "shared"];
        fleet.platform.ok(&[&deploy[..], &["--env", NAMES[0], "--wait"], lease].concat());
    }
    let open =
        |name| run(Mcp::open(&fleet.platform.mcp_url(name), fleet.platform.token())).expect("a session");
    let session = open("mover");
    let listeners = ["mover", "stayer"].map(|name| Listener { name, session: open(name) });
    let id = fleet.platform.instance("mover").expect("it is there")["id"].as_str().expect("an id").to_owned();
    let engines = [1, 2].map(|number| fleet.hosts.host(number).engine());
    let witness = Witness::default();
    std::thread::scope(|scope| {
        scope.spawn(|| witness.watch(&id, [&engines[0], &engines[1]]));
        let heard = listeners.each_ref().map(|one| scope.spawn(|| one.listen(&witness.stop)));
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for (round, loss) in
                [Loss::Everything, Loss::ToControl, Loss::FromControl].into_iter().enumerate()
            {
                let from = round % 2;
                fleet.a_moment(&session, loss, from);
                fleet.for_long(&session, loss, from);
            }
            // Its owner moves it, and it is back at once.
            let back = NAMES[0];
            fleet.platform.ok(&["move", "mover", "--env", back, "--wait"]);
            assert!(fleet.runs_on(back));
            run(session.call("test_simple_text", json!({}))).expect("its session goes on");
        }));
        witness.stop.store(true, Ordering::Relaxed);
        if let Err(panic) = done {
            std::panic::resume_unwind(panic);
        }
        let [mover, stayer] = heard.map(|one| one.join().expect("only the right one answers").len());
        // Three times for the cuts, once for its owner.
        assert_eq!((mover, stayer), (5, 1), "processes of `mover` and of `stayer` that answered");
    });
    assert!(100 < witness.looks.load(Ordering::Relaxed), "nobody looked");
    assert_eq!(witness.twice.load(Ordering::Relaxed), 0, "it ran on both hosts at once");
}
