//! The whole of the plan as tables: what is wanted and seen, the step, and the status reported with it.

use domain::ids::InstanceId;
use domain::secret::Secret;

use super::*;

const MARK: Mark = Mark { generation: 3, restarts_asked: 1 };
const OLD: Mark = Mark { generation: 2, restarts_asked: 1 };
const RESTARTED: Mark = Mark { generation: 3, restarts_asked: 0 };

fn spec(desired: DesiredState) -> InstanceSpec {
    InstanceSpec {
        id: InstanceId::generate(),
        account: "default".parse().unwrap(),
        name: "everything".parse().unwrap(),
        generation: MARK.generation,
        desired,
        restarts_asked: MARK.restarts_asked,
        package: "builtin:welcome".parse().unwrap(),
        launch: domain::spec::Launch::default(),
        env: std::collections::BTreeMap::new(),
        secrets: std::collections::BTreeMap::new(),
        registry: None,
        limits: domain::spec::Limits::default(),
        lease_seconds: None,
        key: Secret::new("key"),
    }
}

const SINCE: Timestamp = Timestamp(1);
const NOW: Timestamp = Timestamp(1_000_000);

fn answers(generation: u64, server: ServerState) -> Shim {
    let instance = InstanceId::generate();
    Shim::Answers(ShimStatus {
        instance,
        generation,
        pid: 1,
        server,
        restarts: 0,
        in_flight: 0,
        processes: 1,
        asks: Vec::new(),
    })
}

fn running(generation: u64) -> Shim {
    let (server_name, protocol_version) = ("x".to_owned(), "2025-11-25".to_owned());
    answers(generation, ServerState::Running { since: SINCE, server_name, protocol_version })
}

fn failed(crash_loop: bool) -> Shim {
    let message = "exit status: 1".to_owned();
    answers(3, ServerState::Failed { since: SINCE, failures: 5, crash_loop, message })
}

fn install_failed() -> Install {
    Install::Failed { message: "no such version".to_owned(), again: None }
}

fn deaf(ms: u64) -> Shim {
    Shim::Deaf { since: Duration::from_millis(ms) }
}

fn watch(ms: u64) -> Step {
    Step::Watch(Duration::from_millis(ms))
}

#[track_caller]
fn check(
    desired: DesiredState,
    shim: Shim,
    started: Option<Mark>,
    install: Install,
    expected: (Step, InstanceStatus, Option<&str>),
) {
    let spec = spec(desired);
    let observed =
        Observed { shim, started, install, failures: 0, wait: Duration::ZERO, now: NOW, lease: Lease::None };
    let step = next(&spec, &observed);
    let (status, message) = status(&spec, &observed, step);
    assert_eq!((step, status, message.as_deref()), expected);
}

#[test]
fn towards_running() {
    use Install::{Done, Unknown};
    use InstanceStatus::{Asleep, ErrorInstall, ErrorRuntime, Installing, Running, Starting, Stopping};
    use Step::{Install as Get, Kill, Rest, ShutDown, Start};
    #[track_caller]
    fn row(
        shim: Shim,
        started: Option<Mark>,
        install: Install,
        expected: (Step, InstanceStatus, Option<&str>),
    ) {
        check(DesiredState::Running, shim, started, install, expected);
    }
    let (clean, unclean) = (Shim::Absent { clean: true }, Shim::Absent { clean: false });

    // From nothing to a started shim.
    row(unclean.clone(), None, Unknown, (Kill, Starting, None));
    row(clean.clone(), None, Install::Never, (Get, Installing, None));
    row(clean.clone(), None, Unknown, (Get, Starting, None));
    row(clean.clone(), None, Done, (Start, Starting, None));
    row(clean.clone(), Some(MARK), Done, (Start, Starting, None));
    let full =
        |again| Install::Failed { message: "no room".to_owned(), again: Some(Duration::from_secs(again)) };
    row(clean.clone(), Some(MARK), full(9), (watch(9000), ErrorInstall, Some("no room")));
    row(clean.clone(), Some(MARK), full(0), (Get, ErrorInstall, Some("no room")));
    row(running(3), Some(MARK), full(9), (watch(1000), Running, None));
    let asleep = answers(3, ServerState::Asleep { since: SINCE });
    row(asleep, Some(MARK), Done, (watch(1000), Asleep, None));
    row(clean, Some(MARK), install_failed(), (Rest, ErrorInstall, Some("no such version")));
    // What is left of a dead shim goes first, whatever the install says.
    row(unclean.clone(), Some(MARK), Done, (Kill, Starting, None));
    row(unclean, Some(MARK), install_failed(), (Kill, Starting, None));
    // A shim of this mark is watched, whatever is known of the install: it runs.
    row(answers(3, ServerState::Starting { since: SINCE }), Some(MARK), Unknown, (watch(20), Starting, None));
    let late = Timestamp(NOW.0 - 2_000_000);
    row(answers(3, ServerState::Starting { since: late }), Some(MARK), Done, (watch(200), Starting, None));
    row(running(3), Some(MARK), Unknown, (watch(1000), Running, None));
    row(running(3), Some(MARK), install_failed(), (watch(1000), Running, None));
    row(failed(false), Some(MARK), Done, (watch(200), ErrorRuntime, Some("exit status: 1")));
    row(
        failed(true),
        Some(MARK),
        Done,
        (watch(200), ErrorRuntime, Some("crash loop, 5 failures in a row: exit status: 1")),
    );
    row(answers(3, ServerState::Stopping { since: SINCE }), Some(MARK), Done, (watch(100), Stopping, None));
    // A shim of another mark serves until the package is there, then goes. It is never reported as running.
    for (shim, started) in
        [(running(2), Some(OLD)), (running(3), Some(RESTARTED)), (running(2), Some(MARK)), (running(3), None)]
    {
        row(shim.clone(), started, Unknown, (Get, Starting, None));
        row(shim.clone(), started, Done, (ShutDown, Starting, None));
        row(shim, started, install_failed(), (ShutDown, Starting, None));
    }
    // A shim that boots is waited for, not for ever.
    row(deaf(0), Some(MARK), Done, (watch(5), Starting, None));
    row(deaf(600), Some(MARK), Done, (watch(100), Starting, None));
    row(deaf(10_000), Some(MARK), Done, (Kill, Starting, None));
    row(deaf(0), Some(OLD), Done, (Kill, Starting, None));
    // A shim that hangs.
    let silent = |times| Shim::Silent { times };
    let words =
        |n| format!("its shim has not answered {n} times in a row; it is killed and started again after 3");
    row(silent(1), Some(MARK), Done, (watch(200), ErrorRuntime, Some(&words(1))));
    row(silent(3), Some(MARK), Done, (Kill, ErrorRuntime, Some(&words(3))));
    row(silent(1), Some(OLD), Done, (Kill, ErrorRuntime, Some(&words(1))));
    // Another's socket in our place.
    row(Shim::Foreign, Some(MARK), Done, (Kill, Starting, None));
}

#[test]
fn towards_being_stopped() {
    use InstanceStatus::{Stopped, Stopping};
    for install in [Install::Unknown, Install::Done, install_failed()] {
        for (shim, expected) in [
            (Shim::Absent { clean: true }, (Step::Rest, Stopped, None)),
            (Shim::Absent { clean: false }, (Step::Kill, Stopping, None)),
            (running(3), (Step::ShutDown, Stopping, None)),
            (running(2), (Step::ShutDown, Stopping, None)),
            (failed(true), (Step::ShutDown, Stopping, None)),
            (deaf(0), (Step::Kill, Stopping, None)),
            (Shim::Silent { times: 1 }, (Step::Kill, Stopping, None)),
            (Shim::Foreign, (Step::Kill, Stopping, None)),
        ] {
            check(DesiredState::Stopped, shim, Some(MARK), install.clone(), expected);
        }
    }
}

#[test]
fn a_shim_that_keeps_ending_waits_and_says_so() {
    let spec = spec(DesiredState::Running);
    let (shim, started, install) = (Shim::Absent { clean: true }, Some(MARK), Install::Done);
    let wait = Duration::from_secs(5);
    let observed = |failures| Observed {
        shim: shim.clone(),
        started,
        install: install.clone(),
        failures,
        wait,
        now: NOW,
        lease: Lease::None,
    };
    for (failures, expected) in [(1, InstanceStatus::Starting), (10, InstanceStatus::ErrorRuntime)] {
        let step = next(&spec, &observed(failures));
        assert_eq!(step, Step::Watch(wait));
        let (status, message) = status(&spec, &observed(failures), step);
        assert_eq!(status, expected, "{failures} failures");
        assert!(message.unwrap().contains(&format!("{failures} in a row")));
    }
}
