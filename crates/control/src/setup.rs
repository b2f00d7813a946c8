//! What must be there before anything is served: account, admin, token, the environment of this machine, the built-in
//! catalog, the first instance. Running it again changes only what is no longer true.

use std::path::Path;
use std::sync::Arc;

use api::instances::DeployRequest;
use domain::ids::{AccountId, EnvironmentId, UserId};
use domain::names::AccountName;
use domain::secret::Secret;
use domain::status::EnvironmentStatus;
use store::accounts::{AccountRow, UserRow};
use store::environments::EnvironmentRow;
use store::instances::Moving;
use store::{Database, Store, StoreError};

use crate::app::instances::LOCAL;
use crate::app::{Problem, deployment, instances, tokens};
use crate::auth::token;
use crate::catalog;
use crate::config::{Config, LocalEnvironment};
use crate::directory::now;
use crate::reach::Way;
use crate::rewrap;
use crate::secrets::{MasterKey, SecretsError};

const ACCOUNT: &str = "default";
const ADMIN: &str = "admin";
const DATABASE_FILE: &str = "berth.db";
/// Who acts before there is a user.
const ACTOR: &str = "system:setup";

/// Why the control plane cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database cannot be opened, or a statement failed.
    #[error(transparent)]
    Store(StoreError),
    /// The master key cannot be read or made.
    #[error(transparent)]
    Secrets(SecretsError),
    /// A row could not be made.
    #[error("the first rows could not be made: {0}")]
    FirstRows(#[source] Problem),
    /// There is nobody to let in.
    #[error("{0}")]
    Recovery(#[source] Problem),
    /// An older database cannot be taken over.
    #[error("{0}")]
    Import(#[source] Problem),
    /// The built-in catalog cannot be read.
    #[error("the built-in catalog is damaged")]
    Catalog(#[source] serde_json::Error),
    /// DigitalOcean cannot be asked.
    #[error(transparent)]
    DigitalOcean(digitalocean::SettingsError),
}

/// What [`setup`] found or made.
#[derive(Debug)]
pub struct Setup {
    /// The admin's first API token; only when this was the first run.
    pub api_token: Option<Secret>,
    /// The environment of this machine; absent when [`Config::local`] is.
    pub environment: Option<LocalSetup>,
}

/// The environment of this machine, as its DTMA must know it.
#[derive(Debug)]
pub struct LocalSetup {
    /// Its id.
    pub id: EnvironmentId,
    /// The token between the DTMA and the control plane, for both directions.
    pub dtma_token: Secret,
}

/// Makes what is missing. May run beside a running control plane.
///
/// # Errors
/// Any [`StartError`]; nothing is left half made.
pub async fn setup(config: &Config) -> Result<Setup, StartError> {
    let (store, keys) = open(config).await?;
    let made = fill(&store, &keys, config).await;
    store.close().await;
    made
}

/// A new API token of the admin, for a machine whose own copy was lost. Whoever can open the database may have it.
///
/// # Errors
/// Any [`StartError`].
pub async fn new_api_token(config: &Config, name: &str) -> Result<Secret, StartError> {
    let (store, _) = open(config).await?;
    let made = async {
        let (account, user) = first_account(&store).await?.ok_or(StoreError::NotFound { what: "account" })?;
        let mut tx = store.begin().await?;
        let (_, secret) =
            tokens::insert(&mut tx, account, user, (name, None), None, now(), ACTOR.to_owned()).await?;
        tx.commit().await?;
        Ok::<_, Problem>(secret)
    };
    let made = made.await.map_err(StartError::FirstRows);
    store.close().await;
    made
}

/// The database that is meant.
///
/// # Errors
/// [`StartError::Store`] for what is no database's address.
pub(crate) fn database_of(config: &Config) -> Result<Database, StartError> {
    match &config.database {
        Some(text) => Database::parse(text).map_err(StartError::Store),
        None => Ok(Database::Sqlite(config.data.join(DATABASE_FILE))),
    }
}

/// Opens database and master key.
///
/// # Errors
/// [`StartError::Store`], [`StartError::Secrets`].
pub(crate) async fn open(config: &Config) -> Result<(Store, Arc<MasterKey>), StartError> {
    let database = database_of(config)?;
    make_private(&config.data)?;
    let keys = match &config.master_key {
        Some(given) => MasterKey::given(given),
        None => MasterKey::open(&config.data),
    };
    let keys = keys.map_err(StartError::Secrets)?;
    let store = Store::open(&database).await.map_err(StartError::Store)?;
    if config.master_key.is_some() {
        rewrap::check(&store, &keys).await?;
    }
    Ok((store, Arc::new(keys)))
}

/// Brings the built-in catalog up to date.
///
/// # Errors
/// [`StartError::Catalog`], [`StartError::Store`].
pub(crate) async fn fill_catalog(store: &Store) -> Result<(), StartError> {
    let builtin = catalog::builtin().map_err(StartError::Catalog)?;
    let there = store::catalog::all(store).await.map_err(StartError::Store)?;
    let missing: Vec<_> = builtin.iter().filter(|entry| !there.contains(entry)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut tx = store.begin().await.map_err(StartError::Store)?;
    for entry in missing {
        store::catalog::upsert(&mut tx, entry, catalog::PROVIDER, now()).await.map_err(StartError::Store)?;
    }
    tx.commit().await.map_err(StartError::Store)
}

async fn fill(store: &Store, keys: &MasterKey, config: &Config) -> Result<Setup, StartError> {
    fill_catalog(store).await?;
    match first_account(store).await.map_err(|error| StartError::FirstRows(error.into()))? {
        None => first_run(store, keys, config).await.map_err(StartError::FirstRows),
        Some((account, user)) => {
            let environment = match &config.local {
                Some(local) => {
                    Some(keep_local(store, keys, account, user, local).await.map_err(StartError::FirstRows)?)
                }
                None => None,
            };
            Ok(Setup { api_token: None, environment })
        }
    }
}

async fn first_account(store: &Store) -> Result<Option<(AccountId, UserId)>, StoreError> {
    let Ok(name) = ACCOUNT.parse::<AccountName>() else { return Ok(None) };
    let Some(account) = store::accounts::account_by_name(store, &name).await? else { return Ok(None) };
    let user = store::accounts::user_by_name(store, ADMIN).await?;
    Ok(user.map(|user| (account.id, user.id)))
}

/// Everything in one transaction: a start that breaks off leaves an empty database, and the next one is again the first.
async fn first_run(store: &Store, keys: &MasterKey, config: &Config) -> Result<Setup, Problem> {
    let at = now();
    let account = AccountRow { id: AccountId::generate(), name: fixed_name(ACCOUNT)?, created_at: at };
    let admin = UserRow { id: UserId::generate(), name: ADMIN.to_owned(), created_at: at };
    let environment =
        config.local.as_ref().map(|local| new_local(keys, account.id, admin.id, local)).transpose()?;
    let request = DeployRequest {
        server: "welcome".to_owned(),
        name: Some("welcome".to_owned()),
        ..DeployRequest::default()
    };
    let welcome = deployment::plan(&request, &store::catalog::all(store).await?)?;

    let mut tx = store.begin().await?;
    store::accounts::create_account(&mut tx, &account, &admin).await?;
    store::people::set_operator(&mut tx, admin.id, true).await?;
    let (_, api_token) =
        tokens::insert(&mut tx, account.id, admin.id, ("berth up", None), None, at, ACTOR.to_owned()).await?;
    if let Some((row, dtma_token)) = &environment {
        let hash = token::hash_text(dtma_token.expose());
        store::environments::insert(&mut tx, row, Some(&hash)).await?;
        let what = welcome.what(Moving::first(None));
        let name = welcome.name.clone().unwrap_or_else(|| welcome.name_base.clone());
        let instance = instances::new_row(keys, account.id, row.id, name, &what, &welcome.secrets)?;
        instances::insert(&mut tx, &instance, &welcome.named, ACTOR.to_owned()).await?;
    }
    tx.commit().await?;
    let environment = environment.map(|(row, dtma_token)| LocalSetup { id: row.id, dtma_token });
    Ok(Setup { api_token: Some(api_token), environment })
}

/// The environment of this machine as it is now: its addresses may differ from those of the last start.
async fn keep_local(
    store: &Store,
    keys: &MasterKey,
    account: AccountId,
    user: UserId,
    local: &LocalEnvironment,
) -> Result<LocalSetup, Problem> {
    let Some(row) = store::environments::by_name(store, account, &fixed_name(LOCAL)?).await? else {
        let (row, dtma_token) = new_local(keys, account, user, local)?;
        let mut tx = store.begin().await?;
        let hash = token::hash_text(dtma_token.expose());
        store::environments::insert(&mut tx, &row, Some(&hash)).await?;
        tx.commit().await?;
        return Ok(LocalSetup { id: row.id, dtma_token });
    };
    let known = row.dtma_token_sealed.as_deref().and_then(|sealed| keys.unseal(row.id.0, sealed).ok());
    let dtma_token = match local.token.clone().or_else(|| known.clone()) {
        Some(token) => token,
        None => token::generate()?,
    };
    let reach = way(local)?;
    if known.as_ref() != Some(&dtma_token) || row.reach != reach {
        let sealed = keys.seal(row.id.0, dtma_token.expose())?;
        let hash = token::hash_text(dtma_token.expose());
        let mut tx = store.begin().await?;
        store::environments::set_reach(&mut tx, row.id, &reach, &sealed, &hash, now()).await?;
        tx.commit().await?;
    }
    Ok(LocalSetup { id: row.id, dtma_token })
}

fn new_local(
    keys: &MasterKey,
    account: AccountId,
    user: UserId,
    local: &LocalEnvironment,
) -> Result<(EnvironmentRow, Secret), Problem> {
    let (id, at) = (EnvironmentId::generate(), now());
    let dtma_token = match &local.token {
        Some(token) => token.clone(),
        None => token::generate()?,
    };
    let (name, status) = (fixed_name(LOCAL)?, EnvironmentStatus::AwaitingHeartbeat);
    let row = EnvironmentRow {
        user: Some(user),
        description: Some("This machine".to_owned()),
        dtma_token_sealed: Some(keys.seal(id.0, dtma_token.expose())?),
        ..EnvironmentRow::new(id, account, name, status, way(local)?, at)
    };
    Ok((row, dtma_token))
}

fn way(local: &LocalEnvironment) -> Result<serde_json::Value, Problem> {
    let way = Way::Local { sockets: local.sockets.clone(), dtma: local.dtma };
    serde_json::to_value(way).map_err(|_| {
        Problem::invalid("data", "the data directory's path is not UTF-8").hint("choose another directory")
    })
}

fn fixed_name<T: std::str::FromStr<Err = domain::names::NameError>>(text: &str) -> Result<T, Problem> {
    text.parse().map_err(|error| Problem::invalid("name", error))
}

/// Whoever reads this directory reads every secret.
pub(crate) fn make_private(dir: &Path) -> Result<(), StartError> {
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
    let failed = |source| StartError::Secrets(SecretsError::File { path: dir.to_owned(), source });
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
    let mode = std::fs::metadata(dir).map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700)).map_err(failed)?;
    }
    Ok(())
}
