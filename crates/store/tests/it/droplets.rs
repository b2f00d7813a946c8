//! What is remembered of droplets, and that nobody's change is overwritten.

use domain::provisioning::{Fault, Firewall, Wish};
use domain::status::EnvironmentStatus::{Active, AwaitingHeartbeat, Creating, Deleting, ErrorCreation};
use store::droplets::{self, Change, DropletRow, Facts, Order};
use store::{Store, StoreError, environments};

use crate::environments::{beat, heartbeat};
use crate::{NOW, Tenant, after, change, on_both_stores, tenant};

async fn droplet(store: &Store, tenant: &Tenant, name: &str) -> DropletRow {
    let mut environment = crate::environment(&tenant.account, name);
    environment.status = Creating;
    let row = DropletRow {
        environment: environment.id,
        wish: Wish::Present,
        since: NOW,
        fault: None,
        sent_at: None,
        firewall: Firewall::None,
        order: Order { name: "berth-far".to_owned(), ssh_keys: vec!["512".to_owned()], allow_ssh: true },
        user_data_sealed: None,
        price_cents: 600,
        failures: 0,
        next_try_at: domain::time::Timestamp(0),
        trouble: None,
        provider_status: None,
    };
    change(store, async |tx| {
        environments::insert(tx, &environment, None).await?;
        droplets::insert(tx, &row).await
    })
    .await
    .unwrap();
    row
}

const FAILED: Change<'_> =
    Change { from: Creating, to: ErrorCreation, fault: Some(Fault::Refused), message: Some("no\0 room") };

#[test]
fn what_is_remembered() {
    on_both_stores(async |store| {
        let acme = tenant(&store, "acme").await;
        let mut row = droplet(&store, &acme, "far").await;
        let id = row.environment;
        let get = async || droplets::by_environment(&store, id).await.unwrap().unwrap();
        assert_eq!(get().await, row);
        assert_eq!(droplets::by_environment(&store, acme.environment.id).await.unwrap(), None);

        let sent =
            change(&store, async |tx| droplets::note_sending(tx, id, "c2VhbGVk", after(1)).await).await;
        assert!(sent.unwrap());
        change(&store, async |tx| droplets::note_trouble(tx, id, 3, after(9), Some("away\0")).await)
            .await
            .unwrap();
        (row.sent_at, row.user_data_sealed) = (Some(after(1)), Some("c2VhbGVk".to_owned()));
        (row.failures, row.next_try_at, row.trouble) = (3, after(9), Some("away\u{fffd}".to_owned()));
        assert_eq!(get().await, row);

        change(&store, async |tx| droplets::set_firewall(tx, id, Firewall::Made).await).await.unwrap();
        let facts = Facts {
            id: 7,
            name: "n",
            size: "s-2",
            price_cents: Some(1200),
            address: Some("203.0.113.9"),
            status: "active",
        };
        change(&store, async |tx| droplets::note_facts(tx, id, &facts, after(2)).await).await.unwrap();
        (row.firewall, row.provider_status) = (Firewall::Made, Some("active".to_owned()));
        row.price_cents = 1200;
        assert_eq!(get().await, row);
        let environment = environments::by_id(&store, id).await.unwrap().unwrap();
        assert_eq!(
            (environment.droplet.id, environment.droplet.size_slug.as_deref()),
            (Some(7), Some("s-2"))
        );
        assert_eq!(environment.public_ip_address.as_deref(), Some("203.0.113.9"));

        let other = droplet(&store, &acme, "other").await.environment;
        let taken = change(&store, async |tx| droplets::note_facts(tx, other, &facts, NOW).await).await;
        assert!(matches!(taken, Err(StoreError::Taken { field: "do_droplet_id", .. })), "{taken:?}");
        assert_eq!(droplets::list_all(&store).await.unwrap().len(), 2);
        change(&store, async |tx| environments::remove(tx, id).await).await.unwrap();
        assert_eq!(droplets::list_all(&store).await.unwrap().len(), 1, "it goes with its environment");
    });
}

#[test]
fn a_state_changes_only_from_what_it_was() {
    on_both_stores(async |store| {
        let acme = tenant(&store, "acme").await;
        let id = droplet(&store, &acme, "far").await.environment;
        let advance = async |change_to: &Change<'_>| {
            change(&store, async |tx| droplets::advance(tx, id, change_to, after(5)).await).await.unwrap()
        };
        let status = async || environments::by_id(&store, id).await.unwrap().unwrap();
        assert!(!advance(&Change { from: AwaitingHeartbeat, ..FAILED }).await);
        assert_eq!(status().await.status, Creating);
        assert!(advance(&FAILED).await);
        let failed = status().await;
        assert_eq!(failed.status, ErrorCreation);
        assert_eq!(failed.provisioning_error_message.as_deref(), Some("no\u{fffd} room"));
        let row = droplets::by_environment(&store, id).await.unwrap().unwrap();
        assert_eq!((row.since, row.fault), (after(5), Some(Fault::Refused)));

        // A host that reports is there after all.
        beat(&store, id, &heartbeat(0, 1, 10)).await;
        assert_eq!(status().await.status, Active);
        assert!(!advance(&FAILED).await);

        // Not one that is being destroyed, and nothing is ordered for it any more.
        let absent = async || change(&store, async |tx| droplets::want_absent(tx, id, after(20)).await).await;
        assert!(absent().await.unwrap());
        assert!(!absent().await.unwrap(), "that is no news");
        beat(&store, id, &heartbeat(0, 2, 21)).await;
        let leaving = status().await;
        assert_eq!((leaving.status, leaving.last_heartbeat_at), (Deleting, Some(after(21))));
        let sent = change(&store, async |tx| droplets::note_sending(tx, id, "x", after(22)).await).await;
        assert!(!sent.unwrap());
        let none = change(&store, async |tx| droplets::want_absent(tx, acme.environment.id, NOW).await).await;
        assert!(!none.unwrap(), "a machine that Berth did not make");
    });
}
