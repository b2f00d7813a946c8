//! Instances with a lease run while the control plane answers for them; and a host that let go of one does not get it back by a request
//! that was on its way.

use domain::status::InstanceStatus::{Running, Starting, Stopped};

use crate::heartbeat::{Control, listen};
use crate::host::{Host, error, spec};

#[tokio::test]
async fn a_lease_begins_with_an_answer_and_ends_without() {
    let (listener, address) = listen("127.0.0.1:0").await;
    let control = Control::default();
    control.serve(listener);
    let mut host = Host::new();
    host.control_url = Some(format!("http://{address}"));
    host.up().await;
    let mut leased = spec();
    leased.lease_seconds = Some(1);
    let id = leased.id;
    host.put(&leased).await;
    let says = |report: &api::dtma::InstanceReport, words: &str| {
        report.message.as_deref().is_some_and(|message| message.contains(words))
    };
    host.until(id, "waiting", |report| {
        report.status == Starting && says(report, "once the control plane grants it")
    })
    .await;
    // Another instance is deployed, so that there are heartbeats; that one has no lease and runs all the while.
    let other = host.deploy().await;
    assert_eq!(host.report(id).await.unwrap().status, Starting, "an answer that does not name it");

    control.grant(&[id]);
    host.deploy().await;
    host.status(id, 1, Running).await;
    control.grant(&[]);
    host.until(id, "ended", |report| report.status == Stopped && says(report, "its lease ended")).await;
    control.grant(&[id]);
    host.deploy().await;
    host.status(id, 1, Running).await;
    assert_eq!(host.report(other.id).await.unwrap().status, Running);

    // A DTMA that is started again goes on with what was granted, though nobody answers it.
    leased.generation = 2;
    leased.lease_seconds = Some(600);
    host.put(&leased).await;
    host.status(id, 2, Running).await;
    *control.refuse.lock().unwrap() = true;
    host.down().await;
    host.up().await;
    host.status(id, 2, Running).await;
    // What an earlier boot was granted is nothing.
    host.down().await;
    let file = host.layout.data.join("leases.json");
    let text = std::fs::read_to_string(&file).unwrap();
    let mut kept: serde_json::Value = serde_json::from_str(&text).unwrap();
    kept["boot"] = "another".into();
    std::fs::write(&file, kept.to_string()).unwrap();
    host.up().await;
    host.status(id, 2, Starting).await;
}

#[tokio::test]
async fn what_left_does_not_come_back_by_an_old_request() {
    let host = Host::start().await;
    let mut spec = host.deploy().await;
    let id = spec.id;
    let remove = async |generation: u64| {
        let path = format!("/v1/instances/{id}?generation={generation}");
        host.request("DELETE", &path).send().await.unwrap()
    };
    assert_eq!(error(remove(0).await).await.0, 409, "what is here is newer");
    assert_eq!(remove(5).await.status(), 204);
    assert_eq!(remove(5).await.status(), 404);
    for (generation, status) in [(1, 409), (5, 409), (6, 200)] {
        spec.generation = generation;
        assert_eq!(host.put(&spec).await.status(), status, "generation {generation}");
    }
    host.status(spec.id, 6, Running).await;
}
