//! Imports of databases of each generation, into both kinds of Berth's own.

mod apply;
mod bad_input;
mod rows;

use std::collections::BTreeMap;
use std::process::Command;

use domain::ids::{AccountId, EnvironmentId, InstanceId};
use domain::secret::Secret;
use serde_json::Value;
use store::Store;
use store::accounts::AccountRow;
use store::environments::EnvironmentRow;
use store::instances::InstanceRow;
use tempfile::TempDir;
use testkit::legacy::{ENVIRONMENT, INSTANCE, Legacy, id};

use super::{ImportOptions, ImportReport, ReportLine, Verdict, import};
use crate::config::Config;
use crate::directory::now;
use crate::public::Public;
use crate::secrets::MasterKey;
use crate::setup::{StartError, open};

/// Prints every row of an SQLite file, as JSON Lines.
const DUMP: &str = "
import json, sqlite3, sys
db = sqlite3.connect('file:' + sys.argv[1] + '?mode=ro', uri=True)
db.row_factory = sqlite3.Row
for (table,) in db.execute(\"SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'\").fetchall():
    for row in db.execute('SELECT * FROM \"' + table + '\"'):
        print(json.dumps([table, dict(row)], sort_keys=True, default=lambda b: b.hex()))
";

/// A Berth without rows, on one of the two databases.
struct Berth {
    _dir: TempDir,
    config: Config,
    postgres: Option<String>,
}

impl Berth {
    fn new(is_postgres: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let public = Public::new("http://127.0.0.1", None).unwrap();
        let postgres = is_postgres.then(testkit::postgres::database);
        let config = Config { database: postgres.clone(), ..Config::new(dir.path().join("control"), public) };
        Self { _dir: dir, config, postgres }
    }

    async fn import(&self, legacy: &Legacy, apply: bool) -> ImportReport {
        self.import_with(legacy, ImportOptions { apply, ..ImportOptions::default() }).await.unwrap()
    }

    async fn import_with(&self, legacy: &Legacy, options: ImportOptions) -> Result<ImportReport, StartError> {
        import(&self.config, &Secret::new(legacy.url.clone()), &options, None).await
    }

    /// Breaks off before it writes more than so many rows.
    async fn import_some(&self, legacy: &Legacy, most: u32) -> Result<ImportReport, StartError> {
        let options = ImportOptions { apply: true, ..ImportOptions::default() };
        import(&self.config, &Secret::new(legacy.url.clone()), &options, Some(most)).await
    }

    async fn open(&self) -> (Store, std::sync::Arc<MasterKey>) {
        open(&self.config).await.unwrap()
    }

    /// Every row of every table.
    async fn rows(&self) -> Vec<(String, serde_json::Map<String, Value>)> {
        // Makes the tables, where nothing was imported yet.
        self.open().await.0.close().await;
        let text = if let Some(url) = &self.postgres {
            let tables =
                testkit::postgres::run(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'berth'");
            let all = tables.lines().map(|table| {
                format!("SELECT jsonb_build_array('{table}', to_jsonb(t)) FROM berth.{table} t")
            });
            testkit::postgres::run(url, &all.collect::<Vec<_>>().join(" UNION ALL "))
        } else {
            let file = self.config.data.join("berth.db");
            let done = Command::new("python3").args(["-c", DUMP]).arg(file).output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
            String::from_utf8(done.stdout).unwrap()
        };
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// All of it as it lies there.
    async fn dump(&self) -> Vec<String> {
        let mut lines: Vec<String> =
            self.rows().await.into_iter().map(|row| serde_json::to_string(&row).unwrap()).collect();
        lines.sort();
        lines
    }

    /// All that must be the same in two installations: sealed values opened, and without what says when it was written.
    async fn meaning(&self) -> Vec<String> {
        let (store, keys) = self.open().await;
        let mut lines = Vec::new();
        for (table, mut row) in self.rows().await {
            if table == "audit_log" || table.starts_with("_sqlx") || table == "catalog_sources" {
                continue;
            }
            row.remove("last_used_at");
            if table == "user_identities" || table == "accounts" && row["name"] == "one" {
                row.remove("created_at");
                row.remove("id");
            }
            let row_id = row.get("id").and_then(Value::as_str).and_then(|id| id.parse().ok());
            for (column, value) in &mut row {
                if (column.ends_with("sealed") || column.starts_with("encrypted")) && value.is_string() {
                    let opened = keys.unseal(row_id.unwrap(), value.as_str().unwrap()).unwrap();
                    *value = format!("opened {}", opened.expose()).into();
                }
            }
            lines.push(serde_json::to_string(&(table, row)).unwrap());
        }
        store.close().await;
        lines.sort();
        lines
    }

    async fn instance(&self, number: u32) -> InstanceRow {
        let (store, _) = self.open().await;
        let id: InstanceId = id(INSTANCE, number).parse().unwrap();
        let row = store::instances::by_id(&store, id).await.unwrap().unwrap();
        store.close().await;
        row
    }

    async fn secrets(&self, row: &InstanceRow) -> BTreeMap<String, String> {
        let (store, keys) = self.open().await;
        let secrets = keys.unseal_all(row.id.0, row.secrets_sealed.as_deref()).unwrap();
        store.close().await;
        secrets.into_iter().map(|(name, value)| (name, value.expose().to_owned())).collect()
    }

    async fn environment(&self, number: u32) -> EnvironmentRow {
        let (store, _) = self.open().await;
        let id: EnvironmentId = id(ENVIRONMENT, number).parse().unwrap();
        let row = store::environments::by_id(&store, id).await.unwrap().unwrap();
        store.close().await;
        row
    }

    /// Makes an account that nobody is in.
    async fn account(&self, name: &str) -> AccountId {
        let (store, _) = self.open().await;
        let row = AccountRow { id: AccountId::generate(), name: name.parse().unwrap(), created_at: now() };
        let mut tx = store.begin().await.unwrap();
        store::accounts::insert(&mut tx, &row).await.unwrap();
        tx.commit().await.unwrap();
        store.close().await;
        row.id
    }
}

/// Lines of a verdict, in short.
fn lines(report: &ImportReport, verdict: Verdict) -> Vec<String> {
    report.lines.iter().filter(|line| line.verdict == verdict).map(short).collect()
}

fn short(line: &ReportLine) -> String {
    let note = line.note.as_deref().map(|note| format!(" | {note}")).unwrap_or_default();
    format!("{} {}{note}", line.kind, line.name)
}

/// A generation, and what makes a database of it.
type Generation = (&'static str, fn() -> Legacy);

fn every_generation() -> [Generation; 4] {
    [
        ("droplets", Legacy::droplets),
        ("active-tools", Legacy::active_tools),
        ("instances", Legacy::instances),
        ("mcp", Legacy::mcp),
    ]
}
