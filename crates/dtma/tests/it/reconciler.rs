//! What is wanted becomes what is: deploy, change, stop, start, restart, remove, and the failures in between.

use std::sync::atomic::Ordering;

use domain::registry::RegistryLogin;
use domain::secret::Secret;
use domain::shim::ServerState;
use domain::spec::{DesiredState, InstanceSpec};
use domain::status::InstanceStatus::{
    ErrorInstall, ErrorRuntime, Installing, Running, Starting, Stopped, Stopping,
};
use domain::time::Timestamp;
use runtime::error::RuntimeError;

use crate::host::{Host, error, next, spec, wait_until};
use crate::machine::running;

#[tokio::test]
async fn a_spec_becomes_a_running_instance() {
    let host = Host::start().await;
    let all = host.machine.gate.acquire_many(100).await.unwrap();
    let spec = spec();
    let taken: api::dtma::InstanceReport = host.put(&spec).await.json().await.unwrap();
    assert_eq!((taken.id, taken.generation), (spec.id, 1));
    assert_ne!(taken.status, Running);
    let report = host
        .until(spec.id, "downloading", |report| {
            report.progress.as_ref().is_some_and(|progress| progress.step == "downloading")
        })
        .await;
    assert_eq!((report.status, report.progress.unwrap().percent), (Installing, Some(50)));

    *host.machine.server.lock().unwrap() = ServerState::Starting { since: Timestamp(1) };
    drop(all);
    host.status(spec.id, 1, Starting).await;
    wait_until("a shim", || host.machine.pid(spec.id).is_some()).await;
    assert_ne!(host.report(spec.id).await.unwrap().status, Running, "no probe has answered yet");
    host.machine.say(spec.id, running());
    let report = host.status(spec.id, 1, Running).await;
    assert_eq!(report.version.as_deref(), Some("1.2.3"));
    assert_eq!(report.digest.as_deref(), Some("sha256:01"));
    assert_eq!(report.server_name.as_deref(), Some("fake"));
    assert_eq!(report.protocol_version.as_deref(), Some("2025-11-25"));
    assert_eq!(report.since, Timestamp(1_000_000), "since the server said so");
    assert_eq!((report.progress, report.message, report.restarts), (None, None, 0));
    assert_eq!(host.machine.asked(), ["install 1", "start 1"]);
    assert_eq!(*host.machine.secrets.lock().unwrap(), spec.secrets);
}

#[tokio::test]
async fn generations() {
    let host = Host::start().await;
    let one = host.deploy().await;
    let pid = host.machine.pid(one.id).unwrap();
    let three = next(&next(&one, DesiredState::Running), DesiredState::Running);

    assert_eq!(host.put(&one).await.status(), 200, "the same again");
    assert_eq!(host.put(&three).await.status(), 200);
    host.status(one.id, 3, Running).await;
    assert_ne!(host.machine.pid(one.id).unwrap(), pid, "a newer generation is a newer shim");
    let (status, body) = error(host.put(&next(&one, DesiredState::Running)).await).await;
    assert_eq!((status, body.error.field.as_deref()), (409, Some("generation")));
    assert_eq!(host.machine.asked(), ["install 1", "start 1", "install 3", "start 3"]);
}

#[tokio::test]
async fn stop_start_restart() {
    let host = Host::start().await;
    let spec = host.deploy().await;
    let pid = || host.machine.pid(spec.id);
    let first = pid().unwrap();

    assert_eq!(host.wish(spec.id, "start").await.status, Running, "nothing to do");
    assert_eq!(pid(), Some(first));
    host.wish(spec.id, "restart").await;
    wait_until("another shim", || pid().is_some_and(|pid| pid != first)).await;
    let report = host.status(spec.id, 1, Running).await;
    assert_eq!(report.restarts, 0, "one that was asked for does not count");

    assert_eq!(host.wish(spec.id, "stop").await.status, Stopping);
    host.status(spec.id, 1, Stopped).await;
    assert_eq!(pid(), None);
    assert_eq!(host.wish(spec.id, "stop").await.status, Stopped, "nothing to do");
    host.wish(spec.id, "start").await;
    host.status(spec.id, 1, Running).await;
    host.wish(spec.id, "stop").await;
    host.status(spec.id, 1, Stopped).await;
    host.wish(spec.id, "restart").await;
    host.status(spec.id, 1, Running).await;

    // The control plane's next word wins over what was wished here.
    host.put(&next(&spec, DesiredState::Stopped)).await;
    host.status(spec.id, 2, Stopped).await;
    assert_eq!(pid(), None);
}

#[tokio::test]
async fn a_stop_while_installing_ends_the_install() {
    let host = Host::start().await;
    let all = host.machine.gate.acquire_many(100).await.unwrap();
    let spec = spec();
    host.put(&spec).await;
    wait_until("an install", || host.machine.asked() == ["install 1"]).await;
    host.wish(spec.id, "stop").await;
    host.status(spec.id, 1, Stopped).await;
    assert_eq!(host.machine.asked(), ["install 1", "cancelled install"]);
    drop(all);
    host.wish(spec.id, "start").await;
    host.status(spec.id, 1, Running).await;
}

#[tokio::test]
async fn two_install_at_a_time_and_the_others_say_that_they_wait() {
    let host = Host::start().await;
    let all = host.machine.gate.acquire_many(100).await.unwrap();
    let specs = [spec(), spec(), spec()];
    let waits = |report: &api::dtma::InstanceReport| {
        report.progress.as_ref().is_some_and(|progress| progress.step == "waiting for other installs")
    };
    for spec in &specs {
        host.put(spec).await;
        host.until(spec.id, "installing", |report| report.progress.is_some()).await;
    }
    host.until(specs[2].id, "waiting", waits).await;
    assert_eq!(host.machine.asked(), ["install 1", "install 1"]);
    // One that leaves makes room.
    host.wish(specs[0].id, "stop").await;
    host.until(specs[2].id, "installing", |report| report.progress.is_some() && !waits(report)).await;
    drop(all);
    for spec in &specs[1..] {
        host.status(spec.id, 1, Running).await;
    }
}

#[tokio::test]
async fn a_failed_install_is_tried_again_only_when_asked() {
    let mut host = Host::start().await;
    let spec = spec();
    *host.machine.install_error.lock().unwrap() =
        Some(|| RuntimeError::UnknownPackage { registry: "npm", package: "everything".to_owned() });
    host.put(&spec).await;
    let report = host.status(spec.id, 1, ErrorInstall).await;
    assert_eq!(report.message.as_deref(), Some("npm has no package `everything`: check its name"));
    assert_eq!(report.progress, None);

    host.down().await;
    host.up().await;
    let report = host.status(spec.id, 1, ErrorInstall).await;
    assert!(report.message.unwrap().contains("no package"), "the reason is remembered");
    assert_eq!(host.machine.asked(), ["install 1"], "a restart of the DTMA asks for nothing");

    host.wish(spec.id, "start").await;
    wait_until("a second install", || host.machine.asked().len() == 2).await;
    host.status(spec.id, 1, ErrorInstall).await;
    *host.machine.install_error.lock().unwrap() = None;
    host.put(&next(&spec, DesiredState::Running)).await;
    let report = host.status(spec.id, 2, Running).await;
    assert_eq!(report.message, None);
}

#[tokio::test]
async fn a_failing_server_is_told_in_its_own_words() {
    let host = Host::start().await;
    let spec = host.deploy().await;
    let failed = |failures, crash_loop| ServerState::Failed {
        since: Timestamp(2),
        failures,
        crash_loop,
        message: "exit status: 3; its last words: no TOKEN set".to_owned(),
    };
    host.machine.say(spec.id, failed(1, false));
    let report = host.status(spec.id, 1, ErrorRuntime).await;
    assert_eq!(report.message.as_deref(), Some("exit status: 3; its last words: no TOKEN set"));
    host.machine.say(spec.id, failed(7, true));
    host.until(spec.id, "a crash loop", |report| {
        report.message.as_deref().is_some_and(|message| message.starts_with("crash loop, 7 failures"))
    })
    .await;
    host.machine.say(spec.id, running());
    assert_eq!(host.status(spec.id, 1, Running).await.message, None);
    assert_eq!(host.machine.asked(), ["install 1", "start 1"], "the shim restarts its server, not we");
}

#[tokio::test]
async fn a_shim_that_cannot_be_started_is_told_and_tried_again() {
    let host = Host::start().await;
    *host.machine.start_error.lock().unwrap() = Some(|| RuntimeError::NoSandbox);
    let spec = spec();
    host.put(&spec).await;
    let report = host.status(spec.id, 1, ErrorRuntime).await;
    assert!(report.message.unwrap().contains("this host cannot isolate a server"));
    wait_until("another try", || 3 <= host.machine.asked().len()).await;
    *host.machine.start_error.lock().unwrap() = None;
    assert_eq!(host.status(spec.id, 1, Running).await.message, None);
}

#[tokio::test]
async fn a_removed_instance_leaves_nothing() {
    let host = Host::start().await;
    let (one, other) = (host.deploy().await, host.deploy().await);
    let path = format!("/v1/instances/{}", one.id);
    // A server can close its own directories to everybody.
    let closed = host.layout.work_dir(one.id).join("closed");
    std::fs::create_dir_all(closed.join("inner")).unwrap();
    std::fs::set_permissions(&closed, std::os::unix::fs::PermissionsExt::from_mode(0o0)).unwrap();

    assert_eq!(host.request("DELETE", &path).send().await.unwrap().status(), 204);
    assert_eq!(host.machine.pid(one.id), None);
    assert!(!host.layout.instance_dir(one.id).exists() && !host.layout.socket_dir(one.id).exists());
    assert_eq!(error(host.request("DELETE", &path).send().await.unwrap()).await.0, 404);
    assert_eq!(host.report(one.id).await, None);
    host.status(other.id, 1, Running).await;

    assert_eq!(host.put(&one).await.status(), 200, "it may come back, at any generation");
    host.status(one.id, 1, Running).await;
}

#[tokio::test]
async fn a_removal_ends_an_install() {
    let host = Host::start().await;
    let _all = host.machine.gate.acquire_many(100).await.unwrap();
    let spec = spec();
    host.put(&spec).await;
    wait_until("an install", || host.machine.asked() == ["install 1"]).await;
    let path = format!("/v1/instances/{}", spec.id);
    assert_eq!(host.request("DELETE", &path).send().await.unwrap().status(), 204);
    assert_eq!(host.machine.asked(), ["install 1", "cancelled install"]);
}

#[tokio::test]
async fn a_full_disk_changes_nothing() {
    let host = Host::start().await;
    let spec = host.deploy().await;
    let before = std::fs::read(host.spec_file(spec.id)).unwrap();
    // What is written beside the file ends on a device that is always full.
    std::os::unix::fs::symlink("/dev/full", host.layout.instance_dir(spec.id).join("spec.new")).unwrap();
    let (status, body) = error(host.put(&next(&spec, DesiredState::Stopped)).await).await;
    assert_eq!(status, 507, "{body:?}");
    assert_eq!(std::fs::read(host.spec_file(spec.id)).unwrap(), before);
    assert!(!host.layout.instance_dir(spec.id).join("spec.new").exists(), "something half-written is left");
    let report = host.report(spec.id).await.unwrap();
    assert_eq!((report.generation, report.status), (1, Running));
    assert_eq!(host.put(&next(&spec, DesiredState::Stopped)).await.status(), 200, "there is room again");
    host.status(spec.id, 2, Stopped).await;
}

/// As an earlier version's shim, that is asked on the clock, and as today's, that says by itself what is new.
#[tokio::test]
async fn what_a_shim_says_is_heard() {
    let host = Host::start().await;
    for lets_wait in [false, true] {
        host.machine.let_wait.store(lets_wait, Ordering::Relaxed);
        let spec = host.deploy().await;
        let before = host.machine.questions.load(Ordering::Relaxed);
        for _ in 0..3 {
            let now = Timestamp(2_000_000);
            let message = "it broke".to_owned();
            let failed = ServerState::Failed { since: now, failures: 1, crash_loop: false, message };
            host.machine.say(spec.id, failed);
            host.status(spec.id, 1, ErrorRuntime).await;
            host.machine.say(spec.id, running());
            host.status(spec.id, 1, Running).await;
        }
        // Six pieces of news, the first question, and one that may be under way.
        let questions = host.machine.questions.load(Ordering::Relaxed) - before;
        assert!(!lets_wait || questions <= 8, "{questions} questions where it says itself what is new");
        host.request("DELETE", &format!("/v1/instances/{}", spec.id)).send().await.unwrap();
        wait_until("the removal", || host.machine.pid(spec.id).is_none()).await;
    }
}

/// What opens its registry comes without a change of the instance: nothing is restarted, and a pull that failed is tried again.
#[tokio::test]
async fn another_login_is_taken_without_a_restart() {
    let mut host = Host::start().await;
    let with = |password: &str| {
        let mut spec = spec();
        spec.registry = Some(RegistryLogin {
            host: "ghcr.io".parse().unwrap(),
            username: "me".to_owned(),
            password: Secret::new(password),
        });
        spec
    };
    let first = with("first-password");
    host.put(&first).await;
    host.status(first.id, 1, Running).await;
    let (pid, asked) = (host.machine.pid(first.id), host.machine.asked());
    let second = InstanceSpec { registry: with("second-password").registry, ..first.clone() };
    assert_eq!(host.put(&second).await.status(), 200);
    host.status(first.id, 1, Running).await;
    host.down().await;
    host.up().await;
    host.status(first.id, 1, Running).await;
    assert_eq!((host.machine.pid(first.id), host.machine.asked()), (pid, asked), "nothing was restarted");
    // The next start takes it.
    host.wish(first.id, "restart").await;
    wait_until("another shim", || host.machine.pid(first.id).is_some_and(|now| Some(now) != pid)).await;
    let shown = host.machine.registry.lock().unwrap().clone();
    assert_eq!(shown, second.registry);

    let refused = with("wrong");
    *host.machine.install_error.lock().unwrap() = Some(|| RuntimeError::CredentialsRefused {
        registry: "ghcr.io".to_owned(),
        given: "refused the credentials",
        image: "ghcr.io/x:1".to_owned(),
    });
    host.put(&refused).await;
    host.status(refused.id, 1, ErrorInstall).await;
    *host.machine.install_error.lock().unwrap() = None;
    host.put(&InstanceSpec { registry: with("right").registry, ..refused.clone() }).await;
    host.status(refused.id, 1, Running).await;
}
