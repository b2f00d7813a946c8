//! Clearing a host: what instances need stays, what they ran before too, and nothing goes while something is installed.

use api::dtma::CleanupReport;
use domain::cleanup::{Found, Thing, ThingKind};
use domain::spec::{DesiredState, InstanceSpec};
use domain::status::InstanceStatus;

use crate::host::{Host, error, next, spec, wait_until};

/// The package that the fake installs for a generation.
fn package(generation: u64) -> Found {
    let name = format!("sha256-0{generation}");
    let digests = vec![name.replace('-', ":")];
    Found { thing: Thing { kind: ThingKind::Package, name, bytes: 10 }, digests, busy: false }
}

async fn clear(host: &Host, dry_run: bool) -> Vec<String> {
    let body = serde_json::json!({ "dry_run": dry_run });
    let response = host.request("POST", "/v1/cleanup").json(&body).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let report: CleanupReport = response.json().await.unwrap();
    assert_eq!((report.dry_run, report.bytes), (dry_run, 10 * report.things.len() as u64));
    report.things.into_iter().map(|thing| thing.name).collect()
}

async fn another(host: &Host, spec: &InstanceSpec) -> InstanceSpec {
    let spec = next(spec, DesiredState::Running);
    assert_eq!(host.put(&spec).await.status(), 200);
    host.status(spec.id, spec.generation, InstanceStatus::Running).await;
    spec
}

#[tokio::test]
async fn what_is_installed_and_what_was_before_stays() {
    let mut host = Host::start().await;
    *host.machine.found.lock().unwrap() = (1..=4).map(package).collect();
    let first = host.deploy().await;
    assert_eq!(clear(&host, true).await, ["sha256-02", "sha256-03", "sha256-04"]);
    let second = another(&host, &first).await;
    assert_eq!(clear(&host, true).await, ["sha256-03", "sha256-04"]);
    assert_eq!(host.machine.found.lock().unwrap().len(), 4, "a dry run removes nothing");

    // A DTMA that starts knows it from the disk.
    host.down().await;
    host.up().await;
    assert_eq!(clear(&host, false).await, ["sha256-03", "sha256-04"]);
    assert_eq!(*host.machine.found.lock().unwrap(), [1, 2].map(package));
    let third = another(&host, &second).await;
    assert_eq!(clear(&host, false).await, ["sha256-01"]);

    let path = format!("/v1/instances/{}", third.id);
    assert_eq!(host.request("DELETE", &path).send().await.unwrap().status(), 204);
    assert_eq!(clear(&host, false).await, ["sha256-02"]);
    assert_eq!(clear(&host, false).await, Vec::<String>::new(), "once is enough");
}

#[tokio::test]
async fn nothing_goes_when_it_might_be_needed() {
    let host = Host::start().await;
    *host.machine.found.lock().unwrap() = vec![package(7)];
    let body = serde_json::json!({ "dry_run": false });
    let refused = async |expected: &str| {
        let response = host.request("POST", "/v1/cleanup").json(&body).send().await.unwrap();
        let (status, body) = error(response).await;
        assert_eq!(status, 409);
        assert!(body.error.message.contains(expected), "{}", body.error.message);
    };

    let gate = std::sync::Arc::clone(&host.machine.gate).acquire_many_owned(100).await.unwrap();
    let one = spec();
    assert_eq!(host.put(&one).await.status(), 200);
    wait_until("the install", || host.machine.asked().contains(&"install 1".to_owned())).await;
    refused("being installed").await;
    drop(gate);
    host.status(one.id, 1, InstanceStatus::Running).await;

    std::fs::write(host.layout.instance_dir(one.id).join("record.json"), "{").unwrap();
    refused("needs is not known").await;
    assert_eq!(host.machine.found.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_disk_that_fills_is_cleared_by_itself() {
    for (percent, goes) in [(Some(1), true), (None, false)] {
        let mut host = Host::new();
        host.cleanup_percent = percent;
        *host.machine.found.lock().unwrap() = vec![package(7)];
        host.up().await;
        if goes {
            wait_until("the cleanup", || host.machine.found.lock().unwrap().is_empty()).await;
        } else {
            host.deploy().await;
            assert_eq!(host.machine.found.lock().unwrap().len(), 1);
        }
    }
}
