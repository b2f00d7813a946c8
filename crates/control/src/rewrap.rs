//! A change of the master key: what is sealed with an older version is sealed with the newest, row by row. It may end anywhere and go on
//! at any time, since each row says which version it is sealed with, and the older versions stay until no row needs them.

use std::collections::BTreeMap;

use store::sealed::{self, PLACES, Place, Sealed};
use store::{Store, StoreError};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::config::Config;
use crate::secrets::{MasterKey, SecretsError};
use crate::setup::{StartError, open};

/// Rows that are read at a time.
const PAGE: u32 = 100;

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rewrapped {
    /// Values that were sealed anew.
    pub moved: u64,
    /// Values that do not open, as `TABLE ID`: sealed with a key that is not there, or damaged.
    pub unreadable: Vec<String>,
    /// Whether it looked at everything.
    pub complete: bool,
}

/// A version of the master key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyVersion {
    /// Its number.
    pub version: u32,
    /// How many stored values are sealed with it.
    pub sealed: u64,
    /// Whether the keys of instances are derived from it, so that it stays.
    pub derives: bool,
    /// Whether new values are sealed with it.
    pub newest: bool,
}

/// What is known of the master key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyStatus {
    /// Where it comes from.
    pub source: String,
    /// Its versions, oldest first.
    pub versions: Vec<KeyVersion>,
    /// Stored values that are sealed with a version that is not there.
    pub lost: u64,
}

/// The versions of the master key, and what they are used for.
///
/// # Errors
/// Any [`StartError`].
pub async fn key_status(config: &Config) -> Result<KeyStatus, StartError> {
    let (store, keys) = open(config).await?;
    let status = status(&store, &keys).await;
    store.close().await;
    status.map_err(StartError::Store)
}

/// Adds a version to the master key and seals everything with it. A control plane that runs takes it in by itself.
///
/// # Errors
/// [`StartError::Secrets`] when the key does not lie in a file of ours; any other [`StartError`].
pub async fn rotate_key(config: &Config) -> Result<(u32, Rewrapped), StartError> {
    let (store, keys) = open(config).await?;
    let rotated = async {
        let version = keys.add_version().map_err(StartError::Secrets)?;
        let done = rewrap(&store, &keys, &CancellationToken::new(), None).await?;
        Ok((version, done))
    };
    let rotated = rotated.await;
    store.close().await;
    rotated
}

/// Seals with the newest version what is sealed with another, until all is, `stop` is cancelled, or `most` were.
///
/// # Errors
/// What the store says, and [`SecretsError::Random`]. What was done stays done.
pub(crate) async fn rewrap(
    store: &Store,
    keys: &MasterKey,
    stop: &CancellationToken,
    most: Option<u64>,
) -> Result<Rewrapped, StartError> {
    let newest = keys.newest_version();
    let mut done = Rewrapped::default();
    for place in PLACES {
        let mut after = String::new();
        loop {
            let rows = sealed::others(store, place, newest, &after, PAGE).await.map_err(StartError::Store)?;
            let Some(last) = rows.last() else { break };
            after.clone_from(&last.key);
            for row in rows {
                if stop.is_cancelled() || most.is_some_and(|most| most <= done.moved) {
                    return Ok(done);
                }
                match again(store, keys, place, &row).await? {
                    Some(true) => done.moved += 1,
                    // Somebody else changed it, and seals with the newest as well.
                    Some(false) => {}
                    None => done.unreadable.push(format!("{} {}", place.table, row.key)),
                }
            }
        }
    }
    done.complete = true;
    Ok(done)
}

/// One row, in a transaction of its own; `None` when it does not open.
async fn again(
    store: &Store,
    keys: &MasterKey,
    place: Place,
    row: &Sealed,
) -> Result<Option<bool>, StartError> {
    let Some((id, text)) = opened(keys, row) else { return Ok(None) };
    let value = keys.seal(id, text.expose()).map_err(StartError::Secrets)?;
    let put = async {
        let mut tx = store.begin().await?;
        let put = sealed::replace(&mut tx, place, row, &value).await?;
        tx.commit().await?;
        Ok::<_, StoreError>(put)
    };
    put.await.map(Some).map_err(StartError::Store)
}

fn opened(keys: &MasterKey, row: &Sealed) -> Option<(Uuid, domain::secret::Secret)> {
    let id = row.id.parse().ok()?;
    Some((id, keys.unseal(id, &row.value).ok()?))
}

/// Finishes a change of the key that was not finished, and lets go of versions that nobody needs any more.
pub(crate) async fn resume(store: &Store, keys: &MasterKey, stop: &CancellationToken) {
    match rewrap(store, keys, stop, None).await {
        Ok(done) => {
            if done.moved != 0 {
                tracing::info!(
                    moved = done.moved,
                    version = keys.newest_version(),
                    "stored secrets were sealed anew"
                );
            }
            if !done.unreadable.is_empty() {
                tracing::error!(rows = ?done.unreadable, "stored secrets do not open: the master key that they were sealed with is not there");
            }
            if !done.complete {
                return;
            }
        }
        Err(error) => {
            tracing::warn!(error = %crate::app::problem::Chain(&error), "stored secrets could not be sealed anew; the next start tries again");
            return;
        }
    }
    let unused = async {
        let status = status(store, keys).await?;
        Ok::<_, StoreError>(
            status
                .versions
                .into_iter()
                .filter(KeyVersion::is_unused)
                .map(|one| one.version)
                .collect::<Vec<_>>(),
        )
    };
    let dropped = match unused.await {
        Ok(unused) if unused.is_empty() => return,
        Ok(unused) => keys.drop_versions(&unused).map(|in_file| (unused, in_file)),
        Err(error) => {
            return tracing::warn!(error = %crate::app::problem::Chain(&error), "what older versions of the master key are used for is not known");
        }
    };
    match dropped {
        Ok((unused, true)) => {
            tracing::info!(versions = ?unused, "nothing is sealed with these versions of the master key any more: they were dropped");
        }
        Ok((unused, false)) => {
            tracing::info!(versions = ?unused, "nothing is sealed with these versions of the master key any more: they can be left out");
        }
        Err(error) => {
            tracing::warn!(error = %crate::app::problem::Chain(&error), "older versions of the master key could not be dropped");
        }
    }
}

impl KeyVersion {
    /// Whether it can be dropped.
    pub fn is_unused(&self) -> bool {
        self.sealed == 0 && !self.derives && !self.newest
    }
}

async fn status(store: &Store, keys: &MasterKey) -> Result<KeyStatus, StoreError> {
    let mut sealed = BTreeMap::new();
    let mut all = 0;
    let versions = keys.versions();
    for place in PLACES {
        all += sealed::count(store, place, None).await?;
        for &version in &versions {
            *sealed.entry(version).or_insert(0) += sealed::count(store, place, Some(version)).await?;
        }
    }
    let known: u64 = sealed.values().sum();
    let last = versions.len().saturating_sub(1);
    let versions = versions.iter().enumerate().map(|(at, &version)| KeyVersion {
        version,
        sealed: sealed.get(&version).copied().unwrap_or_default(),
        derives: at == 0,
        newest: at == last,
    });
    Ok(KeyStatus { source: keys.source(), versions: versions.collect(), lost: all.saturating_sub(known) })
}

/// Whether the key opens what is stored: asked at the start for a key that was given, which may be another installation's.
///
/// # Errors
/// [`SecretsError::Other`], and what the store says.
pub(crate) async fn check(store: &Store, keys: &MasterKey) -> Result<(), StartError> {
    let other = |what: String| StartError::Secrets(SecretsError::Other { from: keys.source(), what });
    if status(store, keys).await.map_err(StartError::Store)?.lost != 0 {
        return Err(other("it lacks a version that stored secrets are sealed with".to_owned()));
    }
    for version in keys.versions() {
        for place in PLACES {
            let Some(row) = sealed::one_of(store, place, version).await.map_err(StartError::Store)? else {
                continue;
            };
            if opened(keys, &row).is_none() {
                return Err(other(format!("its version {version} does not open what is stored")));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use domain::vault::SecretName;
    use store::secrets::VersionRow;

    use super::*;
    use crate::config::LocalEnvironment;
    use crate::directory::now;
    use crate::public::Public;

    const MANY: u64 = 250;

    fn config(dir: &std::path::Path) -> Config {
        let local = LocalEnvironment {
            dtma: "127.0.0.1:1".parse().unwrap(),
            sockets: dir.join("sockets"),
            token: None,
        };
        let public = Public::new("http://127.0.0.1", None).unwrap();
        Config { local: Some(local), ..Config::new(dir.join("control"), public) }
    }

    /// A store with an environment's token and many secrets, and the key that they are sealed with.
    async fn filled(config: &Config) -> (Store, std::sync::Arc<MasterKey>) {
        crate::setup::setup(config).await.unwrap();
        let (store, keys) = open(config).await.unwrap();
        let account =
            store::accounts::account_by_name(&store, &"default".parse().unwrap()).await.unwrap().unwrap();
        let mut tx = store.begin().await.unwrap();
        for n in 0..MANY {
            let name: SecretName = format!("S{n}").parse().unwrap();
            let row = store::secrets::advance(&mut tx, account.id, &name, now()).await.unwrap();
            let id = domain::ids::SecretVersionId::generate();
            let version = VersionRow {
                id,
                secret: row.id,
                version: row.version,
                value_sealed: Some(keys.seal(id.0, &format!("value {n}")).unwrap()),
                created_by: "test".to_owned(),
                created_at: now(),
            };
            store::secrets::add_version(&mut tx, &version).await.unwrap();
        }
        tx.commit().await.unwrap();
        (store, keys)
    }

    /// How many values are sealed with each version; all of them open.
    async fn sealed(store: &Store, keys: &MasterKey) -> Vec<(u32, u64)> {
        check(store, keys).await.unwrap();
        let account =
            store::accounts::account_by_name(store, &"default".parse().unwrap()).await.unwrap().unwrap();
        for (row, _) in store::secrets::versions(store, account.id).await.unwrap() {
            let text = keys.unseal(row.id.0, &row.value_sealed.unwrap()).unwrap();
            assert!(text.expose().starts_with("value "));
        }
        let status = status(store, keys).await.unwrap();
        assert_eq!(status.lost, 0);
        status.versions.iter().map(|one| (one.version, one.sealed)).collect()
    }

    #[tokio::test]
    async fn a_change_that_ends_anywhere_goes_on_and_old_versions_go_when_nothing_needs_them() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        let (store, keys) = filled(&config).await;
        let all = sealed(&store, &keys).await[0].1;
        assert!(MANY < all, "the environment's token too");
        let instance = domain::ids::InstanceId::generate();
        let derived = keys.instance_key(instance);

        // It ends after three, and again after a hundred.
        let stop = CancellationToken::new();
        assert_eq!(keys.add_version().unwrap(), 2);
        let done = rewrap(&store, &keys, &stop, Some(3)).await.unwrap();
        assert_eq!((done.moved, done.complete), (3, false));
        drop((store, keys));
        let (store, keys) = open(&config).await.unwrap();
        assert_eq!(sealed(&store, &keys).await, [(1, all - 3), (2, 3)]);
        assert_eq!(rewrap(&store, &keys, &stop, Some(100)).await.unwrap().moved, 100);
        // Another change begins before that one is finished.
        assert_eq!(keys.add_version().unwrap(), 3);
        assert_eq!(rewrap(&store, &keys, &stop, Some(7)).await.unwrap().moved, 7);
        let between = sealed(&store, &keys).await;
        assert_eq!(between.iter().map(|(_, count)| count).sum::<u64>(), all);
        assert!(between.iter().all(|(_, count)| *count != 0), "{between:?}");

        // The next start finishes it: the second version goes, the first stays for the instances.
        let (store, keys) = open(&config).await.unwrap();
        resume(&store, &keys, &stop).await;
        assert_eq!(sealed(&store, &keys).await, [(1, 0), (3, all)]);
        assert_eq!(keys.instance_key(instance), derived, "no shim is locked out");
        let (store, keys) = open(&config).await.unwrap();
        assert_eq!(sealed(&store, &keys).await, [(1, 0), (3, all)]);
        assert_eq!(rewrap(&store, &keys, &stop, None).await.unwrap().moved, 0);
    }

    #[tokio::test]
    async fn another_process_that_runs_takes_the_new_version_in() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        let (store, running) = filled(&config).await;
        let (version, done) = rotate_key(&config).await.unwrap();
        assert_eq!((version, done.complete, done.unreadable), (2, true, vec![]));
        let (_, all) = sealed(&store, &running).await[1];
        assert_eq!(all, done.moved);
        let id = Uuid::now_v7();
        assert!(running.seal(id, "x").unwrap().starts_with("2."), "and seals with it");
    }

    #[tokio::test]
    async fn what_does_not_open_is_told_and_stops_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let config = config(dir.path());
        let (store, keys) = filled(&config).await;
        let place = *PLACES.iter().find(|place| place.table == "secret_versions").unwrap();
        let rows = sealed::others(&store, place, 9, "", 2).await.unwrap();
        let mut tx = store.begin().await.unwrap();
        assert!(sealed::replace(&mut tx, place, &rows[0], "1.AAAA").await.unwrap());
        assert!(
            !sealed::replace(&mut tx, place, &rows[0], "1.AAAA").await.unwrap(),
            "it was changed meanwhile"
        );
        tx.commit().await.unwrap();
        let (_, done) = rotate_key(&config).await.unwrap();
        assert_eq!(done.unreadable, [format!("secret_versions {}", rows[0].id)]);
        assert!(done.complete);
        resume(&store, &keys, &CancellationToken::new()).await;
        let status = status(&store, &keys).await.unwrap();
        assert_eq!(status.versions[0].sealed, 1, "its version stays, for whoever mends it");
    }

    #[tokio::test]
    async fn a_key_that_is_given_must_be_the_one_of_what_is_stored() {
        let dir = tempfile::tempdir().unwrap();
        let given = |text: &str| {
            Some(crate::secrets::GivenKey {
                text: domain::secret::Secret::new(text),
                from: "the variable BERTH_MASTER_KEY".to_owned(),
            })
        };
        let (one, two) = ("ab".repeat(32), "cd".repeat(32));
        let config = |key: &str| Config { master_key: given(key), ..config(dir.path()) };
        let refused = async |key: &str, words: &str| {
            let error = open(&config(key)).await.unwrap_err().to_string();
            assert!(error.starts_with("the variable BERTH_MASTER_KEY") && error.contains(words), "{error}");
            assert!(!error.contains("abab") && !error.contains("cdcd"), "{error}");
        };
        refused("nonsense", "64 hexadecimal digits").await;
        let (store, keys) = filled(&config(&one)).await;
        assert!(!dir.path().join("control/master.key").exists());
        let all = sealed(&store, &keys).await[0].1;
        refused(&two, "does not open what is stored").await;
        refused(&format!("2 {two}"), "lacks a version").await;
        refused(&format!("2 {one}\n1 {two}"), "64 hexadecimal digits").await;
        let error = rotate_key(&config(&one)).await.unwrap_err().to_string();
        assert!(error.contains("is not changed by Berth"), "{error}");
        // Its owner adds a version, and the next start does the rest.
        let (store, keys) = open(&config(&format!("1 {one},2 {two}"))).await.unwrap();
        resume(&store, &keys, &CancellationToken::new()).await;
        assert_eq!(sealed(&store, &keys).await, [(1, 0), (2, all)]);
    }
}
