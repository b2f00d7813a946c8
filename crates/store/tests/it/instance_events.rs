//! Events of instances: newest first, bounded for each instance.

use api::instance_events::EventKind;
use domain::ids::{InstanceEventId, InstanceId};
use domain::status::InstanceStatus;
use store::instance_events::{self, InstanceEventRow, KEPT};
use store::{StoreError, instances};

use crate::instances::instance;
use crate::{after, change, on_both_stores, tenant};

fn event(instance: InstanceId, second: i64) -> InstanceEventRow {
    InstanceEventRow {
        id: InstanceEventId::generate(),
        instance,
        at: after(second),
        kind: EventKind::Status,
        status: Some(InstanceStatus::Running),
        message: None,
    }
}

#[test]
fn events_are_newest_first_and_the_oldest_go() {
    on_both_stores(async |store| {
        let acme = tenant(&store, "acme").await;
        let (mine, other) = (instance(&acme, "a"), instance(&acme, "b"));
        change(&store, async |tx| {
            instances::insert(tx, &mine).await?;
            instances::insert(tx, &other).await
        })
        .await
        .unwrap();
        let odd = InstanceEventRow {
            kind: EventKind::Installed,
            status: None,
            message: Some("a\u{0}ä".to_owned()),
            ..event(mine.id, 0)
        };
        let last = event(mine.id, 1);
        change(&store, async |tx| {
            instance_events::append(tx, &odd).await?;
            instance_events::append(tx, &event(other.id, 5)).await?;
            instance_events::append(tx, &last).await
        })
        .await
        .unwrap();
        let shown = InstanceEventRow { message: Some("a\u{fffd}ä".to_owned()), ..odd };
        let found = instance_events::list(&store, mine.id, 9).await.unwrap();
        assert_eq!(found, [last.clone(), shown]);
        assert_eq!(instance_events::list(&store, mine.id, 1).await.unwrap(), [last]);

        let rows: Vec<InstanceEventRow> = (2..2 + KEPT).map(|second| event(mine.id, second)).collect();
        change(&store, async |tx| {
            for row in &rows {
                instance_events::append(tx, row).await?;
            }
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
        let mut found = instance_events::list(&store, mine.id, 9999).await.unwrap();
        found.reverse();
        assert_eq!(found, rows);
        assert_eq!(instance_events::list(&store, other.id, 9).await.unwrap().len(), 1);
    });
}
