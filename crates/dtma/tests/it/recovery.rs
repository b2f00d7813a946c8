//! Everything that can end ends at any time, and all comes back as it was wanted.

use domain::spec::DesiredState;
use domain::status::InstanceStatus::{ErrorRuntime, Running, Stopped};
use dtma::DtmaError;
use hop::serve::Listener;
use std::sync::Arc;

use crate::host::{Host, next, spec, wait_until};
use crate::machine::Machine;

#[tokio::test]
async fn a_living_shim_is_kept_over_a_restart() {
    let mut host = Host::start().await;
    let (running, stopped) = (host.deploy().await, host.deploy().await);
    host.wish(stopped.id, "stop").await;
    host.status(stopped.id, 1, Stopped).await;
    let pid = host.machine.pid(running.id);
    let before = host.report(running.id).await.unwrap();

    host.down().await;
    assert_eq!(host.machine.pid(running.id), pid, "a DTMA that ends leaves its shims");
    let asked = host.machine.asked();
    host.up().await;
    let after = host.status(running.id, 1, Running).await;
    host.status(stopped.id, 1, Stopped).await;
    assert_eq!(after, before, "with all that was known of it");
    assert_eq!(host.machine.pid(running.id), pid);
    assert_eq!(host.machine.asked(), asked, "nothing was installed, started or killed");

    // An adopted shim is watched like a child.
    host.machine.kill_shim(running.id).await;
    wait_until("another shim", || host.machine.pid(running.id).is_some()).await;
    let report = host.status(running.id, 1, Running).await;
    assert_eq!(report.restarts, 1);
    assert_eq!(*host.machine.secrets.lock().unwrap(), running.secrets, "unsealed for the new one");
}

#[tokio::test]
async fn a_dead_shim_comes_back() {
    let host = Host::start().await;
    let spec = host.deploy().await;
    for time in 1..=3 {
        let pid = host.machine.pid(spec.id);
        host.machine.kill_shim(spec.id).await;
        host.until(spec.id, "restarted", |report| report.restarts == time && report.status == Running).await;
        assert_ne!(host.machine.pid(spec.id), pid);
    }
    // An installed package is found once, not with every start.
    assert_eq!(host.machine.asked(), ["install 1", "start 1", "start 1", "start 1", "start 1"]);
}

#[tokio::test]
async fn a_shim_that_died_alone_comes_back_with_the_dtma() {
    let mut host = Host::start().await;
    let spec = host.deploy().await;
    host.down().await;
    host.machine.kill_shim(spec.id).await;
    host.up().await;
    host.status(spec.id, 1, Running).await;
    assert!(host.machine.pid(spec.id).is_some());
}

#[tokio::test]
async fn a_dtma_that_ended_in_mid_change_goes_on() {
    let mut host = Host::start().await;
    let spec = host.deploy().await;
    let pid = host.machine.pid(spec.id);
    let gate = Arc::clone(&host.machine.gate);
    let all = gate.acquire_many(100).await.unwrap();
    host.put(&next(&spec, DesiredState::Running)).await;
    wait_until("an install", || host.machine.asked().ends_with(&["install 2".to_owned()])).await;
    assert_eq!(host.machine.pid(spec.id), pid, "the old one serves until the package is there");
    host.down().await;
    host.up().await;
    assert_ne!(host.report(spec.id).await.unwrap().status, Running, "not at this generation");
    drop(all);
    host.status(spec.id, 2, Running).await;
    assert_ne!(host.machine.pid(spec.id), pid);
}

#[tokio::test]
async fn a_removal_that_was_cut_short_goes_on() {
    let mut host = Host::start().await;
    let spec = host.deploy().await;
    host.down().await;
    std::fs::rename(host.spec_file(spec.id), host.layout.instance_dir(spec.id).join("removing")).unwrap();
    host.up().await;
    wait_until("the removal", || !host.layout.instance_dir(spec.id).exists()).await;
    assert_eq!(host.machine.pid(spec.id), None);
}

#[tokio::test]
async fn an_unreadable_spec_is_that_instance_s_error() {
    let mut host = Host::start().await;
    let (broken, moved, whole) = (host.deploy().await, host.deploy().await, host.deploy().await);
    host.down().await;
    std::fs::write(host.spec_file(broken.id), "{\"spec\": ").unwrap();
    std::fs::copy(host.spec_file(whole.id), host.spec_file(moved.id)).unwrap();
    host.up().await;
    host.status(whole.id, 1, Running).await;
    for spec in [&broken, &moved] {
        let report = host.status(spec.id, 0, ErrorRuntime).await;
        assert!(report.message.unwrap().contains("deploy it again"));
        assert!(host.machine.pid(spec.id).is_some(), "what runs of it is left alone");
        let refused = host.request("POST", &format!("/v1/instances/{}/stop", spec.id)).send().await.unwrap();
        assert_eq!(refused.status(), 409);
        assert_eq!(host.put(spec).await.status(), 200, "its spec again heals it");
        host.status(spec.id, 1, Running).await;
    }
}

#[tokio::test]
async fn another_s_shim_in_our_place_is_replaced() {
    let host = Host::start().await;
    let spec = spec();
    let mut foreign = spec.clone();
    foreign.key = domain::secret::Secret::new("another-key");
    let _ended = host.machine.plant(&foreign);
    let pid = host.machine.pid(spec.id);
    host.put(&spec).await;
    host.status(spec.id, 1, Running).await;
    assert_ne!(host.machine.pid(spec.id), pid);
}

#[tokio::test]
async fn shutdown_stops_instances_without_changing_what_is_wanted() {
    let mut host = Host::start().await;
    let (one, two) = (host.deploy().await, host.deploy().await);
    let request = host.request("POST", "/v1/shutdown").json(&serde_json::json!({"stop_instances": true}));
    assert_eq!(request.send().await.unwrap().status(), 204);
    assert_eq!((host.machine.pid(one.id), host.machine.pid(two.id)), (None, None));
    host.ended().await;
    host.up().await;
    for spec in [one, two] {
        host.status(spec.id, 1, Running).await;
    }
}

#[tokio::test]
async fn one_dtma_per_data_directory() {
    let host = Host::start().await;
    host.deploy().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let machine = Arc::new(Machine::new(host.layout.clone()));
    let second = dtma::run(host.config(), machine, Listener::Both(listener), std::future::pending());
    let error = second.await.unwrap_err();
    assert!(matches!(error, DtmaError::Lock(_)), "{error:?}");
    let pid = std::process::id().to_string();
    assert!(error.to_string().contains(&pid), "it says who: {error}");
}

#[tokio::test]
async fn secrets_are_sealed_on_disk() {
    use std::os::unix::fs::PermissionsExt as _;
    let host = Host::start().await;
    let spec = host.deploy().await;
    let mut seen = 0;
    let mut dirs = vec![host.layout.data.clone()];
    while let Some(dir) = dirs.pop() {
        assert_eq!(dir.metadata().unwrap().permissions().mode() & 0o077, 0, "{}", dir.display());
        for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                if entry.path() != host.layout.socket_dir(spec.id) {
                    dirs.push(entry.path());
                }
            } else if entry.file_type().unwrap().is_file() {
                let bytes = std::fs::read(entry.path()).unwrap();
                let text = String::from_utf8_lossy(&bytes);
                assert!(!text.contains("hunter2"), "a secret in {}", entry.path().display());
                assert!(!text.contains(spec.key.expose()), "the key in {}", entry.path().display());
                seen += 1;
            }
        }
    }
    assert!(3 <= seen, "the key, the spec and the record were looked at");
}

#[test]
fn enrolment() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("dtma");
    let read = || dtma::Config::read(data.clone(), None);
    let Err(DtmaError::Enrolment { path, .. }) = read() else { panic!("nothing is there") };
    assert!(path.ends_with("environment"));

    let environment = domain::ids::EnvironmentId::generate();
    let token = domain::secret::Secret::new("berth_x");
    let enrol = |control_url: Option<&str>| {
        let control_url = control_url.map(str::to_owned);
        dtma::enrol(
            &data,
            &dtma::Enrolment { environment, token: token.clone(), control_url, tls_pin: None, proxy: None },
        )
    };
    enrol(None).unwrap();
    let config = read().unwrap();
    assert_eq!((config.environment, &config.token, config.control_url), (environment, &token, None));
    let Err(DtmaError::ControlUrl { .. }) = enrol(Some("10.0.0.1:8420")) else { panic!("it is no URL") };
    enrol(Some("http://10.0.0.1:8420")).unwrap();
    assert_eq!(read().unwrap().control_url.as_deref(), Some("http://10.0.0.1:8420"));
    let said = dtma::Config::read(data.clone(), Some("http://10.0.0.2:8420".to_owned())).unwrap();
    assert_eq!(said.control_url.as_deref(), Some("http://10.0.0.2:8420"), "what is said goes first");
    for (name, text) in [("environment", "x"), ("token", " \n")] {
        let before = std::fs::read(data.join(name)).unwrap();
        std::fs::write(data.join(name), text).unwrap();
        let Err(DtmaError::Enrolment { path, .. }) = read() else { panic!("{name} is broken") };
        assert!(path.ends_with(name));
        std::fs::write(data.join(name), before).unwrap();
    }
    read().unwrap();
}

#[tokio::test]
async fn a_stranger_at_the_socket_is_told_and_outlasted() {
    let host = Host::start().await;
    let spec = spec();
    let dir = host.layout.socket_dir(spec.id);
    std::fs::create_dir_all(&dir).unwrap();
    let listener = hop::address::bind_unix(&dir, domain::shim::SOCKET).unwrap();
    let refuse = axum::Router::new().fallback(async || axum::http::StatusCode::UNAUTHORIZED);
    let gone = tokio_util::sync::CancellationToken::new();
    let strange = hop::serve::serve_router(Listener::Unix(listener), refuse, gone.clone().cancelled_owned());
    let strange = tokio::spawn(strange);
    host.put(&spec).await;
    let report = host.status(spec.id, 1, ErrorRuntime).await;
    assert!(report.message.unwrap().contains(dir.to_str().unwrap()), "it says where");
    gone.cancel();
    strange.await.unwrap();
    host.status(spec.id, 1, Running).await;
}
