//! What the control plane hears of older callers: what they deployed until it has its own spec for it, and what they
//! removed until it was told.

use domain::status::InstanceStatus;

use super::{ask, backend_id, tool_with};
use crate::heartbeat::{Control, listen};
use crate::host::{Host, error, next};

#[tokio::test]
async fn the_control_plane_hears_of_what_came_and_went() {
    let (listener, address) = listen("127.0.0.1:0").await;
    let control = Control::default();
    control.serve(listener);
    let mut host = Host::new();
    host.control_url = Some(format!("http://{address}"));
    host.up().await;
    let id = backend_id(1).parse().unwrap();
    let options = serde_json::json!({"Env": ["PASSWORD=hunter2"]});
    assert_eq!(ask(&host, "POST", "/tools", Some(tool_with("Redis_1", 1, &options))).await.status, 201);
    control
        .until("an adoption", |beat| {
            beat.instances.iter().any(|report| report.id == id && report.generation == 0)
                && beat.adopt.iter().any(|adoption| {
                    adoption.spec.id == id
                        && adoption.name_on_toolbox == "Redis_1"
                        && adoption.spec.secrets["PASSWORD"].expose() == "hunter2"
                })
        })
        .await;
    let metrics = |beat: &api::dtma::Heartbeat| {
        let report =
            beat.instances.iter().find(|report| report.id == id && report.status == InstanceStatus::Running);
        report.and_then(|report| report.metrics.clone())
    };
    control
        .until("what it uses", |beat| metrics(beat).is_some_and(|uses| uses.memory_bytes == 1 << 20))
        .await;

    // With the control plane's own spec it is an instance like any other.
    let offered = control.last(|beat| beat.adopt.first().map(|adoption| adoption.spec.clone()));
    let own = next(&offered, offered.desired);
    assert_eq!((own.generation, host.put(&own).await.status().as_u16()), (1, 200));
    control
        .until("no adoption any more", |beat| {
            beat.adopt.is_empty() && beat.instances.iter().any(|report| report.generation == 1)
        })
        .await;

    // Until the control plane is told of a removal, its spec does not bring back what is gone.
    *control.refuse.lock().unwrap() = true;
    assert_eq!(ask(&host, "DELETE", "/tools/Redis_1", None).await.status, 200);
    assert_eq!(error(host.put(&own).await).await.0, 409);
    host.down().await;
    host.up().await;
    assert_eq!(error(host.put(&own).await).await.0, 409, "a DTMA that starts again knows");
    *control.refuse.lock().unwrap() = false;
    control.until("a removal", |beat| beat.removed == [id]).await;
    control.until_last("no removal any more", |beat| beat.removed.is_empty(), &host).await;
    assert_eq!(host.put(&own).await.status(), 200, "what the control plane wants now is new");
}
