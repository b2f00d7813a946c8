use std::time::Duration;

use domain::status::{EnvironmentStatus, MemoryMetrics, SystemMetrics};
use domain::time::Timestamp;
use store::environments::{EnvironmentRow, Health, HeartbeatRow};

use super::*;
use crate::app::instances::render;
use crate::config::LocalWay;
use crate::tasks::stage;

const LONG_UP: Duration = Duration::from_hours(1);

async fn heard(app: &App, row: &EnvironmentRow, at: Timestamp, sequence: u64) {
    let system = SystemMetrics {
        cpu_load_percent: 0.0,
        cores: 1,
        memory: MemoryMetrics { total_bytes: 1, active_bytes: 0, free_bytes: 1, used_bytes: 0 },
        disk: None,
        uptime_seconds: 1,
    };
    let heartbeat = HeartbeatRow {
        dtma_version: "0.1.0".to_owned(),
        health: Health { system, protections: Vec::new(), program: None },
        dtma_started_at: Timestamp(1),
        sequence,
        at,
        silent_before: Timestamp(0),
    };
    let mut tx = app.store.begin().await.unwrap();
    store::environments::record_heartbeat(&mut tx, row.id, &heartbeat).await.unwrap();
    tx.commit().await.unwrap();
}

async fn local(app: &App) -> EnvironmentRow {
    store::environments::list_all(&app.store).await.unwrap().remove(0)
}

#[tokio::test]
async fn three_missed_heartbeats_are_silence_and_the_next_one_heals() {
    let (_dir, app) = stage::app(stage::nobody(), LocalWay::Dtma).await;
    let row = local(&app).await;
    assert_eq!(pass(&app, LONG_UP).await.silenced, 0, "one that never reported is awaited, not silent");

    heard(&app, &row, before(now(), app.silence() / 2), 1).await;
    assert_eq!(pass(&app, LONG_UP).await.silenced, 0, "two missed are not three");

    heard(&app, &row, before(now(), app.silence() + Duration::from_secs(1)), 2).await;
    assert_eq!(
        pass(&app, Duration::from_secs(1)).await.silenced,
        0,
        "a control plane that was away could not hear"
    );
    assert_eq!(pass(&app, LONG_UP).await.silenced, 1);
    assert_eq!(pass(&app, LONG_UP).await.silenced, 0, "silence is noticed once");
    assert_eq!(local(&app).await.status, EnvironmentStatus::Unresponsive);
    let instance = store::instances::list_all(&app.store).await.unwrap().remove(0);
    let shown = render(&instance, &app.directory.picture(), &app.public().url).unwrap();
    assert!(shown.message.unwrap().contains("has not reported since"));

    heard(&app, &row, now(), 3).await;
    assert_eq!(local(&app).await.status, EnvironmentStatus::Active);
    assert_eq!(pass(&app, LONG_UP).await.silenced, 0);
}
