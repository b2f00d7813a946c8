//! Instances: unique names, what owners want, what DTMAs report, and that nobody reaches another's.

use std::collections::BTreeMap;

use domain::ids::{CatalogEntryId, InstanceId};
use domain::names::InstanceName;
use domain::spec::{DesiredState, Launch, Limits};
use domain::status::{InstanceReport, InstanceStatus};
use store::environments::EnvironmentRow;
use store::instances::{self, InstanceRow, Moving, ReportedBy, SpecColumn};
use store::{Store, StoreError, catalog, environments};
use tokio::task::JoinSet;

use crate::{NOW, Tenant, after, change, environment, on_both, on_both_stores, tenant};

fn name(text: &str) -> InstanceName {
    text.parse().unwrap()
}

pub(crate) fn instance(tenant: &Tenant, called: &str) -> InstanceRow {
    InstanceRow {
        id: InstanceId::generate(),
        account: tenant.account.id,
        environment: tenant.environment.id,
        catalog_entry: CatalogEntryId::GENERIC_MCP,
        name: name(called),
        instance_name_on_toolbox: called.to_owned(),
        desired: DesiredState::Running,
        generation: 1,
        restarts_asked: 0,
        observed_generation: 0,
        status: InstanceStatus::PendingDeploy,
        message: None,
        spec: SpecColumn {
            package: "npm:@scope/server@1.2.3".parse().unwrap(),
            launch: Launch { constraints: vec!["mcp<2".to_owned()], ..Launch::default() },
            env: BTreeMap::from([("ODD".to_owned(), "a'ä\u{0}\u{1f600}".to_owned())]),
            limits: Limits { memory_mib: Some(64), ..Limits::default() },
            moving: Moving::default(),
            candidate_of: None,
        },
        settings: BTreeMap::from([("timezone".to_owned(), "UTC".to_owned())]),
        secret_names: vec!["KEY".to_owned()],
        secrets_sealed: Some("c2VhbGVk".to_owned()),
        version: None,
        digest: None,
        report: None,
        last_heartbeat_from_dtma: None,
        deleting: false,
        created_at: NOW,
        updated_at: NOW,
    }
}

fn report(row: &InstanceRow, generation: u64, status: InstanceStatus) -> InstanceReport {
    InstanceReport {
        id: row.id,
        generation,
        status,
        message: None,
        progress: None,
        version: None,
        digest: None,
        server_name: None,
        protocol_version: None,
        confinement: None,
        restarts: 0,
        since: NOW,
        metrics: None,
        blocked: Vec::new(),
    }
}

async fn insert(store: &Store, row: &InstanceRow) -> Result<(), StoreError> {
    change(store, async |tx| instances::insert(tx, row).await).await
}

async fn deployed(store: &Store, tenant: &Tenant, called: &str) -> InstanceRow {
    let row = instance(tenant, called);
    insert(store, &row).await.unwrap();
    row
}

async fn told(
    store: &Store,
    from: &EnvironmentRow,
    report: &InstanceReport,
    by: ReportedBy,
) -> Option<InstanceRow> {
    change(store, async |tx| instances::record_report(tx, from.id, report, by, after(9)).await).await.unwrap()
}

#[test]
fn what_goes_in_comes_out() {
    on_both_stores(async |store| {
        let acme = tenant(&store, "acme").await;
        let row = deployed(&store, &acme, "everything").await;
        assert_eq!(instances::by_id(&store, row.id).await.unwrap(), Some(row.clone()));
        assert_eq!(instances::by_name(&store, acme.account.id, &row.name).await.unwrap(), Some(row.clone()));
        let other = deployed(&store, &acme, "another").await;
        let both = [other, row];
        assert_eq!(instances::list(&store, acme.account.id).await.unwrap(), both);
        assert_eq!(instances::list_by_environment(&store, acme.environment.id).await.unwrap(), both);
        assert_eq!(instances::list_all(&store).await.unwrap(), both);
    });
}

#[test]
fn names_are_unique_in_the_account_and_on_the_host() {
    on_both_stores(async |store| {
        let (acme, beta) = (tenant(&store, "acme").await, tenant(&store, "beta").await);
        deployed(&store, &acme, "everything").await;
        deployed(&store, &beta, "everything").await;

        let error = insert(&store, &instance(&acme, "everything")).await;
        assert!(
            matches!(&error, Err(StoreError::Taken { field: "name", value }) if value == "everything"),
            "{error:?}"
        );
        let same_on_host =
            InstanceRow { instance_name_on_toolbox: "everything".to_owned(), ..instance(&acme, "other") };
        let error = insert(&store, &same_on_host).await;
        assert!(
            matches!(error, Err(StoreError::Taken { field: "instance_name_on_toolbox", .. })),
            "{error:?}"
        );
        assert_eq!(instances::list_all(&store).await.unwrap().len(), 2);
    });
}

#[test]
fn what_an_instance_refers_to_must_be_there_and_its_accounts_own() {
    on_both_stores(async |store| {
        let (acme, beta) = (tenant(&store, "acme").await, tenant(&store, "beta").await);
        let unknown = CatalogEntryId::generate();
        let error = insert(&store, &InstanceRow { catalog_entry: unknown, ..instance(&acme, "x") }).await;
        assert!(matches!(error, Err(StoreError::UnknownCatalogEntry { id }) if id == unknown), "{error:?}");

        let elsewhere = InstanceRow { environment: beta.environment.id, ..instance(&acme, "x") };
        let error = insert(&store, &elsewhere).await;
        assert!(matches!(error, Err(StoreError::NotFound { what: "environment" })), "{error:?}");

        for (field, row) in [
            (
                "instance_name_on_toolbox",
                InstanceRow { instance_name_on_toolbox: "a\0".to_owned(), ..instance(&acme, "x") },
            ),
            ("generation", InstanceRow { generation: u64::MAX, ..instance(&acme, "x") }),
        ] {
            let error = insert(&store, &row).await;
            assert!(matches!(&error, Err(StoreError::Invalid { field: f, .. }) if *f == field), "{error:?}");
        }
        assert_eq!(instances::list_all(&store).await.unwrap(), []);

        // An entry of the catalog can be referred to as the generic one can.
        let entry = crate::catalog::entry("everything");
        change(&store, async |tx| catalog::upsert(tx, &entry, "Official", NOW).await).await.unwrap();
        insert(&store, &InstanceRow { catalog_entry: entry.id, ..instance(&acme, "x") }).await.unwrap();
    });
}

#[test]
fn of_many_deploys_of_one_name_exactly_one_wins() {
    on_both(async |place| {
        // Two stores, as two replicas would have; both kinds of database allow it.
        let stores = [place.open().await, place.open().await];
        let acme = tenant(&stores[0], "acme").await;
        let mut tasks = JoinSet::new();
        for n in 0..16 {
            let (store, row) = (stores[n % 2].clone(), instance(&acme, "everything"));
            tasks.spawn(async move { (row.id, insert(&store, &row).await) });
        }
        let mut winners = Vec::new();
        while let Some(done) = tasks.join_next().await {
            match done.unwrap() {
                (id, Ok(())) => winners.push(id),
                (_, Err(StoreError::Taken { field: "name", .. })) => {}
                (_, Err(error)) => panic!("on sqlite {}: {error:?}", place.is_sqlite()),
            }
        }
        let found = instances::list(&stores[1], acme.account.id).await.unwrap();
        assert_eq!(found.iter().map(|row| row.id).collect::<Vec<_>>(), winners);
        assert_eq!(winners.len(), 1);
    });
}

#[test]
fn changes_of_many_at_once_are_all_counted() {
    on_both_stores(async |store| {
        let acme = tenant(&store, "acme").await;
        let row = deployed(&store, &acme, "everything").await;
        let mut tasks = JoinSet::new();
        for _ in 0..20 {
            let (store, row) = (store.clone(), row.clone());
            tasks.spawn(async move {
                let starting = InstanceStatus::Starting;
                change(&store, async |tx| {
                    instances::ask_restart(tx, row.account, &row.name, starting, NOW).await
                })
                .await
                .unwrap()
                .generation
            });
        }
        let mut generations = tasks.join_all().await;
        generations.sort_unstable();
        assert_eq!(generations, (2..=21).collect::<Vec<u64>>());
    });
}

#[test]
fn what_the_owner_wants_grows_the_generation_once() {
    on_both_stores(async |store| {
        let acme = tenant(&store, "acme").await;
        let row = deployed(&store, &acme, "everything").await;
        told(&store, &acme.environment, &report(&row, 1, InstanceStatus::Running), ReportedBy::Heartbeat)
            .await;
        let want = async |desired, status, at| {
            change(&store, async |tx| {
                instances::set_desired(tx, row.account, &row.name, desired, status, after(at)).await
            })
            .await
            .unwrap()
        };
        // (wanted, shown meanwhile, seconds) and (generation, state, updated).
        let (stopped, running) = (DesiredState::Stopped, DesiredState::Running);
        let table = [
            ((running, InstanceStatus::Starting, 1), (1, InstanceStatus::Running, 0)),
            ((stopped, InstanceStatus::Stopping, 2), (2, InstanceStatus::Stopping, 2)),
            ((stopped, InstanceStatus::Stopping, 3), (2, InstanceStatus::Stopping, 2)),
            ((running, InstanceStatus::Starting, 4), (3, InstanceStatus::Starting, 4)),
        ];
        for ((desired, shown, at), (generation, status, updated)) in table {
            let found = want(desired, shown, at).await;
            assert_eq!(
                (found.desired, found.generation, found.status, found.updated_at),
                (desired, generation, status, after(updated))
            );
        }
        want(stopped, InstanceStatus::Stopping, 5).await;
        let found = change(&store, async |tx| {
            instances::ask_restart(tx, row.account, &row.name, InstanceStatus::Starting, after(6)).await
        })
        .await
        .unwrap();
        assert_eq!(
            (found.desired, found.generation, found.restarts_asked, found.status),
            (running, 5, 1, InstanceStatus::Starting)
        );
    });
}

#[test]
fn a_report_counts_for_the_generation_it_is_about() {
    on_both_stores(async |store| {
        let acme = tenant(&store, "acme").await;
        let row = deployed(&store, &acme, "everything").await;
        change(&store, async |tx| {
            instances::ask_restart(tx, row.account, &row.name, InstanceStatus::Starting, NOW).await
        })
        .await
        .unwrap();
        let (heartbeat, answer) = (ReportedBy::Heartbeat, ReportedBy::Answer);
        let (starting, running) = (InstanceStatus::Starting, InstanceStatus::Running);
        // (generation, state, how it came), whether it counts, and what is shown afterwards.
        let table = [
            ((1, running, heartbeat), false, starting),
            ((3, running, heartbeat), false, starting),
            ((2, InstanceStatus::Installing, answer), true, InstanceStatus::Installing),
            ((2, running, heartbeat), true, running),
            ((2, starting, answer), false, running),
            ((2, InstanceStatus::ErrorRuntime, heartbeat), true, InstanceStatus::ErrorRuntime),
        ];
        for ((generation, status, by), counts, shown) in table {
            let report = report(&row, generation, status);
            let recorded = told(&store, &acme.environment, &report, by).await;
            assert_eq!(recorded.is_some(), counts, "{generation} {status} {by:?}");
            let found = instances::by_id(&store, row.id).await.unwrap().unwrap();
            assert_eq!(found.status, shown);
            if let Some(recorded) = recorded {
                assert_eq!(found, recorded);
                assert_eq!((found.observed_generation, found.report), (2, Some(report)));
                assert_eq!(found.last_heartbeat_from_dtma, Some(after(9)));
            }
        }
        let unknown = InstanceReport { id: InstanceId::generate(), ..report(&row, 2, running) };
        assert_eq!(told(&store, &acme.environment, &unknown, heartbeat).await, None);
    });
}

#[test]
fn a_report_tells_versions_and_reasons() {
    on_both_stores(async |store| {
        let acme = tenant(&store, "acme").await;
        let row = deployed(&store, &acme, "everything").await;
        let full = InstanceReport {
            version: Some("2026.8.31".to_owned()),
            digest: Some("sha256:00".to_owned()),
            message: Some("it said \0 and ended".to_owned()),
            ..report(&row, 1, InstanceStatus::ErrorRuntime)
        };
        let found = told(&store, &acme.environment, &full, ReportedBy::Heartbeat).await.unwrap();
        assert_eq!(found.message.as_deref(), Some("it said \u{fffd} and ended"), "NUL is shown, not refused");
        assert_eq!(found.report, Some(full));
        // A report that does not know them does not forget them; a message that is over is over.
        let running = report(&row, 1, InstanceStatus::Running);
        let found = told(&store, &acme.environment, &running, ReportedBy::Heartbeat).await.unwrap();
        assert_eq!(
            (found.version.as_deref(), found.digest.as_deref(), found.message),
            (Some("2026.8.31"), Some("sha256:00"), None)
        );
    });
}

#[test]
fn the_control_plane_can_say_what_it_found_itself() {
    on_both_stores(async |store| {
        let acme = tenant(&store, "acme").await;
        let row = deployed(&store, &acme, "everything").await;
        let set = async |row: &InstanceRow| {
            let (status, message) = (InstanceStatus::PendingDeploy, Some("the host cannot be reached"));
            change(&store, async |tx| instances::set_status(tx, row, status, message).await).await.unwrap()
        };
        let newer = InstanceRow { generation: 2, ..row.clone() };
        assert_eq!(set(&newer).await, None, "about another generation");
        assert_eq!(set(&row).await.unwrap().message.as_deref(), Some("the host cannot be reached"));
        let running = report(&row, 1, InstanceStatus::Running);
        told(&store, &acme.environment, &running, ReportedBy::Heartbeat).await.unwrap();
        assert_eq!(set(&row).await, None, "its DTMA has said something since");
    });
}

#[test]
fn removing_is_wanted_first_and_done_later() {
    on_both_stores(async |store| {
        let acme = tenant(&store, "acme").await;
        let row = deployed(&store, &acme, "everything").await;
        let delete = async || change(&store, async |tx| instances::delete(tx, row.id).await).await;
        assert!(matches!(delete().await, Err(StoreError::NotFound { .. })), "not marked");
        for _ in 0..2 {
            let marked = change(&store, async |tx| {
                instances::mark_deleting(tx, row.account, &row.name, after(1)).await
            })
            .await
            .unwrap();
            assert_eq!(
                (marked.deleting, marked.generation, marked.status),
                (true, 2, InstanceStatus::Deleting)
            );
        }
        // Nothing but its removal happens to it any more, and its name is still taken.
        let late = report(&row, 2, InstanceStatus::Running);
        assert_eq!(told(&store, &acme.environment, &late, ReportedBy::Heartbeat).await, None);
        let error = change(&store, async |tx| {
            let (desired, status) = (DesiredState::Stopped, InstanceStatus::Stopping);
            instances::set_desired(tx, row.account, &row.name, desired, status, NOW).await
        })
        .await;
        assert!(matches!(error, Err(StoreError::NotFound { .. })), "{error:?}");
        assert!(matches!(
            insert(&store, &instance(&acme, "everything")).await,
            Err(StoreError::Taken { .. })
        ));

        delete().await.unwrap();
        assert_eq!(instances::list_all(&store).await.unwrap(), []);
        assert!(matches!(delete().await, Err(StoreError::NotFound { .. })));
        deployed(&store, &acme, "everything").await;
    });
}

#[test]
fn nobody_reads_or_changes_what_is_anothers() {
    on_both_stores(async |store| {
        let (acme, beta) = (tenant(&store, "acme").await, tenant(&store, "beta").await);
        let row = deployed(&store, &acme, "everything").await;
        let (stranger, called) = (beta.account.id, row.name.clone());

        assert_eq!(instances::by_name(&store, stranger, &called).await.unwrap(), None);
        assert_eq!(instances::list(&store, stranger).await.unwrap(), []);
        assert_eq!(instances::list_by_environment(&store, beta.environment.id).await.unwrap(), []);
        assert_eq!(
            environments::list(&store, stranger).await.unwrap(),
            std::slice::from_ref(&beta.environment)
        );
        let refused = |result: Result<InstanceRow, StoreError>| {
            assert!(matches!(result, Err(StoreError::NotFound { what: "instance" })), "{result:?}");
        };
        let starting = InstanceStatus::Starting;
        refused(
            change(&store, async |tx| {
                instances::set_desired(tx, stranger, &called, DesiredState::Stopped, starting, NOW).await
            })
            .await,
        );
        refused(
            change(&store, async |tx| instances::ask_restart(tx, stranger, &called, starting, NOW).await)
                .await,
        );
        refused(change(&store, async |tx| instances::mark_deleting(tx, stranger, &called, NOW).await).await);

        // Neither another tenant's DTMA nor the same tenant's other one may speak for it.
        let second = environment(&acme.account, "second");
        change(&store, async |tx| environments::insert(tx, &second, None).await).await.unwrap();
        for from in [&beta.environment, &second] {
            let lie = report(&row, 1, InstanceStatus::Running);
            assert_eq!(told(&store, from, &lie, ReportedBy::Heartbeat).await, None);
        }
        assert_eq!(instances::by_id(&store, row.id).await.unwrap(), Some(row));
    });
}

#[test]
fn a_free_name_is_proposed() {
    on_both_stores(async |store| {
        let (acme, beta) = (tenant(&store, "acme").await, tenant(&store, "beta").await);
        let long = "a".repeat(40);
        let propose = async |base: &str| {
            let free = instances::next_free_name(&store, acme.account.id, &name(base)).await.unwrap();
            free.to_string()
        };
        deployed(&store, &beta, "time").await;
        assert_eq!(propose("time").await, "time", "another account's names are free");
        for called in ["time", "time-2", "time-4", "x-5", &long] {
            deployed(&store, &acme, called).await;
        }
        assert_eq!(propose("time").await, "time-3");
        assert_eq!(propose("tim").await, "tim");
        assert_eq!(propose("x").await, "x");
        assert_eq!(propose(&long).await, format!("{}-2", "a".repeat(38)));
    });
}
