//! Environments and their heartbeats.

use domain::ids::{EnvironmentId, UserId};
use domain::status::{DiskMetrics, EnvironmentStatus, MemoryMetrics, Protection, SystemMetrics};
use serde_json::json;
use store::environments::{self, Droplet, EnvironmentRow, Health, HeartbeatRow, Recorded};
use store::{Store, StoreError};

use crate::{NOW, after, change, environment, on_both_stores, tenant};

pub(crate) fn heartbeat(process: i64, sequence: u64, at: i64) -> HeartbeatRow {
    HeartbeatRow {
        dtma_version: "0.1.0".to_owned(),
        health: Health {
            system: SystemMetrics {
                cpu_load_percent: 12.5,
                cores: 2,
                memory: MemoryMetrics { total_bytes: 8, active_bytes: 4, free_bytes: 4, used_bytes: 4 },
                disk: Some(DiskMetrics {
                    mount: "/".to_owned(),
                    total_bytes: 9,
                    used_bytes: 1,
                    free_bytes: 8,
                }),
                uptime_seconds: 77,
            },
            protections: vec![Protection {
                name: "landlock".to_owned(),
                granted: true,
                detail: "ABI 7".to_owned(),
            }],
            program: Some("0".repeat(64).parse().unwrap()),
        },
        dtma_started_at: after(process),
        sequence,
        at: after(at),
        silent_before: after(at - 45),
    }
}

pub(crate) async fn beat(store: &Store, id: EnvironmentId, heartbeat: &HeartbeatRow) -> Recorded {
    change(store, async |tx| environments::record_heartbeat(tx, id, heartbeat).await).await.unwrap()
}

#[test]
fn what_goes_in_comes_out() {
    on_both_stores(async |store| {
        let acme = tenant(&store, "acme").await;
        let full = EnvironmentRow {
            user: Some(acme.owner.id),
            description: Some("a ä\u{1f600}".to_owned()),
            droplet: Droplet {
                id: Some(123_456_789_012),
                name: Some("d".to_owned()),
                region_slug: Some("nyc1".to_owned()),
                size_slug: Some("s-1vcpu-1gb".to_owned()),
                image_slug: Some("ubuntu-24-04-x64".to_owned()),
            },
            public_ip_address: Some("2001:db8::1".to_owned()),
            ..environment(&acme.account, "droplet")
        };
        change(&store, async |tx| environments::insert(tx, &full, None).await).await.unwrap();
        assert_eq!(environments::by_id(&store, full.id).await.unwrap(), Some(full.clone()));
        let found = environments::by_name(&store, acme.account.id, &full.name).await.unwrap();
        assert_eq!(found, Some(full.clone()));
        let listed = environments::list(&store, acme.account.id).await.unwrap();
        assert_eq!(listed, [full, acme.environment]);
    });
}

#[test]
fn names_are_unique_in_the_account_and_tokens_everywhere() {
    on_both_stores(async |store| {
        let (acme, beta) = (tenant(&store, "acme").await, tenant(&store, "beta").await);
        let insert = async |row: EnvironmentRow, hash: Option<&str>| {
            change(&store, async |tx| environments::insert(tx, &row, hash).await).await
        };
        let taken = |result: Result<(), StoreError>| match result {
            Err(StoreError::Taken { field, .. }) => field,
            other => panic!("{other:?}"),
        };
        assert_eq!(taken(insert(environment(&acme.account, "local"), None).await), "name");
        let known = insert(environment(&beta.account, "b"), Some("hash-of-acme")).await;
        assert_eq!(taken(known), "dtma_token_hash");
        let droplet = |name| EnvironmentRow {
            droplet: Droplet { id: Some(7), ..Droplet::default() },
            ..environment(&beta.account, name)
        };
        insert(droplet("c"), None).await.unwrap();
        assert_eq!(taken(insert(droplet("d"), None).await), "do_droplet_id");

        let found = environments::by_token_hash(&store, "hash-of-beta").await.unwrap();
        assert_eq!(found.map(|e| e.id), Some(beta.environment.id));
        assert_eq!(environments::by_token_hash(&store, "unknown").await.unwrap(), None);
        let others = environments::by_name(&store, acme.account.id, &"c".parse().unwrap()).await.unwrap();
        assert_eq!(others, None, "another account's");
        assert_eq!(environments::list_all(&store).await.unwrap().len(), 3);

        let stray = EnvironmentRow { user: Some(UserId::generate()), ..environment(&acme.account, "x") };
        assert!(insert(stray, None).await.is_err(), "a user that does not exist");
    });
}

#[test]
fn the_newest_heartbeat_counts() {
    on_both_stores(async |store| {
        let id = tenant(&store, "acme").await.environment.id;
        let first = heartbeat(0, 1, 10);
        let Recorded::Taken { was, row } = beat(&store, id, &first).await else { panic!() };
        assert_eq!((was, row.status), (EnvironmentStatus::AwaitingHeartbeat, EnvironmentStatus::Active));
        assert_eq!((row.health.as_ref(), row.dtma_version.as_deref()), (Some(&first.health), Some("0.1.0")));
        assert_eq!(row.last_heartbeat_at, Some(after(10)));
        assert_eq!(environments::by_id(&store, id).await.unwrap().as_ref(), Some(&*row));

        // (the process's start, its sequence, arrival) and whether it is taken.
        let table = [
            ((0, 3, 11), true),
            ((0, 2, 12), false),
            ((0, 3, 12), false),
            ((5, 1, 13), true),
            ((0, 4, 14), false),
            ((5, 2, 15), true),
            // The host's clock went back over a restart: refused while the old process may still speak, then taken.
            ((-100, 1, 59), false),
            ((-100, 2, 61), true),
            ((-100, 3, 62), true),
        ];
        for ((process, sequence, at), taken) in table {
            let recorded = beat(&store, id, &heartbeat(process, sequence, at)).await;
            assert_eq!(matches!(recorded, Recorded::Taken { .. }), taken, "{process} {sequence} {at}");
        }
        let error = change(&store, async |tx| {
            environments::record_heartbeat(tx, EnvironmentId::generate(), &first).await
        })
        .await;
        assert!(matches!(error, Err(StoreError::NotFound { .. })), "{error:?}");
    });
}

#[test]
fn silence_is_noticed_and_heals() {
    on_both_stores(async |store| {
        let (acme, beta) = (tenant(&store, "acme").await, tenant(&store, "beta").await);
        tenant(&store, "never-reported").await;
        beat(&store, acme.environment.id, &heartbeat(0, 1, 0)).await;
        beat(&store, beta.environment.id, &heartbeat(0, 1, 30)).await;
        let mark = async |before| {
            change(&store, async |tx| environments::mark_unresponsive(tx, before, after(50)).await)
                .await
                .unwrap()
        };
        assert_eq!(mark(NOW).await, []);
        let marked = mark(after(1)).await;
        assert_eq!(
            marked.iter().map(|e| (e.id, e.status)).collect::<Vec<_>>(),
            [(acme.environment.id, EnvironmentStatus::Unresponsive)]
        );
        assert_eq!(mark(after(1)).await, [], "once");
        let Recorded::Taken { was, row } = beat(&store, acme.environment.id, &heartbeat(0, 2, 60)).await
        else {
            panic!()
        };
        assert_eq!((was, row.status), (EnvironmentStatus::Unresponsive, EnvironmentStatus::Active));
    });
}

#[test]
fn state_and_reach_can_be_set() {
    on_both_stores(async |store| {
        let (acme, beta) = (tenant(&store, "acme").await, tenant(&store, "beta").await);
        let id = acme.environment.id;
        let row = change(&store, async |tx| {
            environments::set_status(tx, id, EnvironmentStatus::Unresponsive, after(1)).await
        })
        .await
        .unwrap();
        assert_eq!((row.status, row.updated_at), (EnvironmentStatus::Unresponsive, after(1)));

        let reach = json!({ "kind": "dtma" });
        let set = async |hash: &str| {
            change(&store, async |tx| environments::set_reach(tx, id, &reach, "s2", hash, after(2)).await)
                .await
        };
        let row = set("h2").await.unwrap();
        assert_eq!((row.reach, row.dtma_token_sealed.as_deref()), (reach.clone(), Some("s2")));
        assert_eq!(environments::by_token_hash(&store, "hash-of-acme").await.unwrap(), None);
        assert_eq!(environments::by_token_hash(&store, "h2").await.unwrap().map(|e| e.id), Some(id));
        let error = set("hash-of-beta").await;
        assert!(matches!(error, Err(StoreError::Taken { field: "dtma_token_hash", .. })), "{error:?}");
        drop(beta);
    });
}

#[test]
fn one_that_has_instances_stays() {
    on_both_stores(async |store| {
        let acme = tenant(&store, "acme").await;
        let spare = environment(&acme.account, "spare");
        change(&store, async |tx| environments::insert(tx, &spare, None).await).await.unwrap();
        let row = crate::instances::instance(&acme, "echo");
        change(&store, async |tx| store::instances::insert(tx, &row).await).await.unwrap();
        let remove = async |id| change(&store, async |tx| environments::remove(tx, id).await).await;
        assert_eq!(remove(acme.environment.id).await.unwrap(), std::slice::from_ref(&row.name));
        assert!(store::instances::by_id(&store, row.id).await.unwrap().is_some());
        assert_eq!(remove(spare.id).await.unwrap(), []);
        assert_eq!(environments::by_id(&store, spare.id).await.unwrap(), None);
        let again = remove(spare.id).await;
        assert!(matches!(again, Err(StoreError::NotFound { what: "environment" })), "{again:?}");
    });
}
