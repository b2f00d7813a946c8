//! The store from outside. Every test runs on SQLite and on PostgreSQL.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "helpers of tests are tests too")]

mod accounts;
mod agents;
mod alerts;
mod audit;
mod backup;
mod calls;
mod catalog;
mod changes;
mod droplets;
mod enrolments;
mod environments;
mod identities;
mod instance_events;
mod instances;
mod members;
mod metrics;
mod oauth;
mod open;
mod own_values;
mod people;
mod policies;
mod registries;
mod rules;
mod sealed;
mod secrets;
mod tokens;
mod toolbelts;
mod upgrades;
mod upstreams;

use api::users::Role;
use domain::ids::{AccountId, EnvironmentId, UserId};
use domain::status::EnvironmentStatus;
use domain::time::Timestamp;
use store::accounts::{AccountRow, UserRow};
use store::environments::EnvironmentRow;
use store::{Database, Store, Tx};

/// A time that tests call now, in microseconds.
const NOW: Timestamp = Timestamp(1_800_000_000_000_000);

/// `NOW` and so many seconds.
fn after(seconds: i64) -> Timestamp {
    Timestamp(NOW.0 + seconds * 1_000_000)
}

/// An empty database of either kind.
struct Place {
    database: Database,
}

impl Place {
    async fn open(&self) -> Store {
        Store::open(&self.database).await.unwrap()
    }

    fn is_sqlite(&self) -> bool {
        matches!(self.database, Database::Sqlite(_))
    }
}

/// Runs a test on each kind of database, on two threads, so that tasks do run at once.
#[expect(clippy::needless_pass_by_value, reason = "callers write the closure in place")]
fn on_both(test: impl AsyncFn(&Place)) {
    let directory = tempfile::tempdir().unwrap();
    let places = [
        Place { database: Database::Sqlite(directory.path().join("berth.db")) },
        Place { database: Database::parse(&testkit::postgres::database()).unwrap() },
    ];
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for place in places {
        eprintln!("on {}", place.database);
        runtime.block_on(test(&place));
    }
}

/// As [`on_both`], with the database open.
fn on_both_stores(test: impl AsyncFn(Store)) {
    on_both(async |place| test(place.open().await).await);
}

/// Does something in a transaction of its own.
async fn change<T>(
    store: &Store,
    act: impl AsyncFnOnce(&mut Tx) -> Result<T, store::StoreError>,
) -> Result<T, store::StoreError> {
    let mut tx = store.begin().await?;
    let done = act(&mut tx).await?;
    tx.commit().await?;
    Ok(done)
}

/// A tenant with its owner and one environment.
#[derive(Debug, Clone)]
struct Tenant {
    account: AccountRow,
    owner: UserRow,
    environment: EnvironmentRow,
}

async fn tenant(store: &Store, name: &str) -> Tenant {
    let account = AccountRow { id: AccountId::generate(), name: name.parse().unwrap(), created_at: NOW };
    let owner = UserRow { id: UserId::generate(), name: format!("{name}-owner"), created_at: NOW };
    let environment = environment(&account, "local");
    change(store, async |tx| {
        store::accounts::create_account(tx, &account, &owner).await?;
        store::environments::insert(tx, &environment, Some(&format!("hash-of-{name}"))).await
    })
    .await
    .unwrap();
    assert_eq!(store::accounts::role_of(store, account.id, owner.id).await.unwrap(), Some(Role::Owner));
    Tenant { account, owner, environment }
}

fn environment(account: &AccountRow, name: &str) -> EnvironmentRow {
    let (status, id) = (EnvironmentStatus::AwaitingHeartbeat, EnvironmentId::generate());
    let reach = serde_json::json!({ "kind": "local", "odd": "ä\u{0}\u{1f600}" });
    EnvironmentRow {
        dtma_token_sealed: Some("c2VhbGVk".to_owned()),
        ..EnvironmentRow::new(id, account.id, name.parse().unwrap(), status, reach, NOW)
    }
}
