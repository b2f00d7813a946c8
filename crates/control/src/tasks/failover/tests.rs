use api::instances::DeployRequest;
use domain::lease::Failover;
use domain::status::EnvironmentStatus;
use domain::time::Timestamp;
use store::environments::{Health, HeartbeatRow};
use store::instances::Moving;

use super::*;
use crate::app::{deployment, instances};
use crate::config::LocalWay;
use crate::directory::now;
use crate::tasks::stage;

struct Stage {
    app: std::sync::Arc<App>,
    watch: Watch,
    beats: u64,
    _dir: tempfile::TempDir,
}

impl Stage {
    async fn start() -> Self {
        let (dir, app) = stage::app(stage::nobody(), LocalWay::Socket).await;
        Self { app, watch: Watch::new(), beats: 0, _dir: dir }
    }

    async fn environment(&self, name: &str) -> EnvironmentRow {
        let local = store::environments::list_all(&self.app.store).await.unwrap().remove(0);
        let row = EnvironmentRow::new(
            EnvironmentId::generate(),
            local.account,
            name.parse().unwrap(),
            EnvironmentStatus::AwaitingHeartbeat,
            serde_json::json!({ "by": "tunnel" }),
            now(),
        );
        let mut tx = self.app.store.begin().await.unwrap();
        store::environments::insert(&mut tx, &row, None).await.unwrap();
        tx.commit().await.unwrap();
        row
    }

    async fn instance(&self, name: &str, server: &str, at: &EnvironmentRow) {
        let request: DeployRequest = serde_json::from_value(serde_json::json!({ "server": server })).unwrap();
        let plan = deployment::plan(&request, &store::catalog::all(&self.app.store).await.unwrap()).unwrap();
        let what = plan.what(Moving::first(Some(Failover::default())));
        let name = name.parse().unwrap();
        let row = instances::new_row(&self.app.keys, at.account, at.id, name, &what, &plan.secrets).unwrap();
        let mut tx = self.app.store.begin().await.unwrap();
        instances::insert(&mut tx, &row, &std::collections::BTreeMap::new(), "test".to_owned())
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }

    async fn beat(&mut self, at: &EnvironmentRow) {
        self.beats += 1;
        let system = serde_json::from_value(serde_json::json!({
            "cpu_load_percent": 0.0, "cores": 1, "disk": null, "uptime_seconds": 1,
            "memory": { "total_bytes": 1_u64 << 33, "active_bytes": 0, "free_bytes": 1_u64 << 32, "used_bytes": 0 },
        }));
        let heartbeat = HeartbeatRow {
            dtma_version: "0".to_owned(),
            health: Health { system: system.unwrap(), protections: Vec::new(), program: None },
            dtma_started_at: Timestamp(1),
            sequence: self.beats,
            at: now(),
            silent_before: Timestamp(0),
        };
        let mut tx = self.app.store.begin().await.unwrap();
        store::environments::record_heartbeat(&mut tx, at.id, &heartbeat).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Lets time pass on the clock that counts, and looks.
    async fn after(&mut self, seconds: u64) -> Status {
        self.watch.started -= Duration::from_secs(seconds);
        let status = self.watch.pass(&self.app).await;
        assert_eq!(status.error, None);
        status
    }

    async fn whereabouts(&self, name: &str) -> InstanceRow {
        let rows = store::instances::list_all(&self.app.store).await.unwrap();
        rows.into_iter().find(|row| row.name.as_str() == name).unwrap()
    }
}

#[tokio::test]
async fn what_is_lost_is_moved_and_what_is_heard_is_not() {
    let mut stage = Stage::start().await;
    let (a, b) = (stage.environment("a").await, stage.environment("b").await);
    stage.instance("x", "welcome", &a).await;
    stage.instance("files", "memory", &a).await;
    stage.beat(&a).await;
    stage.after(0).await;
    for _ in 0..5 {
        stage.beat(&a).await;
        assert_eq!(stage.after(80).await.moved, 0, "it is heard");
    }
    // There is nowhere to go, and that is said.
    assert_eq!(stage.after(89).await.staying.len(), 0, "not yet");
    let status = stage.after(2).await;
    assert_eq!(status.moved, 0);
    assert!(status.staying["x"].contains("no environment takes it"), "{status:?}");
    assert!(status.staying["files"].contains("keeps files on its host"), "{status:?}");
    let says = stage.whereabouts("x").await.message.unwrap();
    assert!(says.contains("its environment `a` is lost, and no environment takes it"), "{says}");

    stage.beat(&b).await;
    assert_eq!(stage.after(1).await.moved, 1);
    let row = stage.whereabouts("x").await;
    assert_eq!((row.environment, row.generation, row.observed_generation), (b.id, 2, 0));
    let left = store::departures::list_all(&stage.app.store).await.unwrap().remove(&row.id).unwrap();
    assert_eq!((left[0].environment, left[0].why, left[0].holds(now())), (a.id, Why::Failover, false));
    assert_eq!(stage.whereabouts("files").await.environment, a.id);
}

#[tokio::test]
async fn a_control_plane_that_was_away_waits_first() {
    let mut stage = Stage::start().await;
    let (a, b) = (stage.environment("a").await, stage.environment("b").await);
    stage.instance("x", "welcome", &a).await;
    stage.beat(&a).await;
    stage.after(0).await;
    stage.after(60).await;
    stage.watch = Watch::new();
    stage.beat(&b).await;
    assert_eq!(stage.after(89).await.moved, 0, "it has listened for no longer");
    stage.beat(&b).await;
    // It waits also for a host that may have a longer lease than is wanted now.
    let before = stage.whereabouts("x").await;
    let mut tx = stage.app.store.begin().await.unwrap();
    let other = Failover { lease_seconds: 45, lost_after_seconds: 60 };
    store::instances::set_failover(&mut tx, &before, Some(other), now()).await.unwrap().unwrap();
    tx.commit().await.unwrap();
    let status = stage.after(500).await;
    assert_eq!(status.moved, 0);
    assert!(status.staying["x"].contains("did not confirm its lease"), "{status:?}");
}

/// A heartbeat that is written down between the look and the move stops it.
#[tokio::test]
async fn it_is_heard_at_the_last_moment() {
    let mut stage = Stage::start().await;
    let (a, b) = (stage.environment("a").await, stage.environment("b").await);
    stage.instance("x", "welcome", &a).await;
    stage.beat(&a).await;
    stage.beat(&b).await;
    let seen = store::environments::by_id(&stage.app.store, a.id).await.unwrap().unwrap();
    let row = stage.whereabouts("x").await;
    stage.beat(&a).await;
    let parting = Parting {
        why: Why::Failover,
        actor: "test".to_owned(),
        lost: Some(Lost { heard: seen.last_heartbeat_at }),
    };
    assert_eq!(moves::transfer(&stage.app, &row, &b, parting).await.unwrap(), None);
    assert_eq!(stage.whereabouts("x").await, row);
}
