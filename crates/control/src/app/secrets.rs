//! An account's secrets: given and removed by admins, referenced by whoever deploys, shown to nobody.

use std::collections::BTreeMap;

use api::errors::ErrorCode;
use api::secrets::{GivenSecrets, SecretKept, SecretRequest, SecretUse, SecretVersion, StoredSecret};
use api::users::Role;
use domain::ids::{AccountId, InstanceId, SecretVersionId};
use domain::names::InstanceName;
use domain::secret::{Secret, Secrets};
use domain::vault::SecretName;
use serde_json::json;
use store::instances::InstanceRow;
use store::secrets::{Handed, SecretRow, UseRow, VersionRow};

use crate::app::audit::{self, Act};
use crate::app::deployment::nearest;
use crate::app::{App, Outcome, Problem, own_values};
use crate::auth::Caller;
use crate::directory::now;

/// The longest value, in bytes.
const MAX_VALUE: usize = 64 << 10;
/// Versions of a secret that are shown.
const SHOWN: usize = 10;

/// The account's secrets, by name, without their values.
///
/// # Errors
/// 403 below a member.
pub(crate) async fn list(app: &App, caller: &Caller) -> Outcome<Vec<StoredSecret>> {
    caller.require(Role::Member)?;
    let rows = store::secrets::list(&app.store, caller.account).await?;
    Known::read(app, caller.account)
        .await
        .map(|known| rows.into_iter().map(|row| known.render(row)).collect())
}

/// Keeps a new version, of a secret that may be new too. Instances that use it get it now, unless they are to be left alone.
///
/// # Errors
/// 403 below an admin, 422 with field.
pub(crate) async fn put(
    app: &App,
    caller: &Caller,
    name: &str,
    request: &SecretRequest,
) -> Outcome<SecretKept> {
    caller.require(Role::Admin)?;
    let name = name.parse::<SecretName>().map_err(|error| Problem::invalid("name", error))?;
    let value = request.value.expose();
    if value.is_empty() || MAX_VALUE < value.len() || value.contains('\0') {
        return Err(Problem::invalid(
            "value",
            format!("a secret has 1 byte to {} KiB without NUL characters", MAX_VALUE >> 10),
        ));
    }
    let (id, at) = (SecretVersionId::generate(), now());
    let sealed = app.keys.seal(id.0, value)?;
    let mut tx = app.store.begin().await?;
    let row = store::secrets::advance(&mut tx, caller.account, &name, at).await?;
    let version = VersionRow {
        id,
        secret: row.id,
        version: row.version,
        value_sealed: Some(sealed),
        created_by: caller.actor(),
        created_at: at,
    };
    store::secrets::add_version(&mut tx, &version).await?;
    let renewed = if request.restart {
        store::instances::renew_users_of(&mut tx, row.id, at).await?
    } else {
        Vec::new()
    };
    let names: Vec<InstanceName> = renewed.iter().map(|instance| instance.name.clone()).collect();
    let act = Act {
        action: "secret.set",
        kind: "secret",
        id: row.id.to_string(),
        name: name.as_str(),
        detail: json!({ "version": row.version, "renewed": names }),
    };
    audit::note(&mut tx, caller.account, caller.actor(), at, act).await?;
    tx.commit().await?;
    if !renewed.is_empty() {
        app.changed(&renewed).await?;
    }
    let known = Known::read(app, caller.account).await?;
    let secret = known.render(row);
    let mut left: Vec<InstanceName> = secret.used_by.iter().map(|one| one.instance.clone()).collect();
    left.dedup();
    left.retain(|instance| !names.contains(instance));
    Ok(SecretKept { secret, renewed: names, left })
}

/// Removes a secret that no instance uses.
///
/// # Errors
/// 403 below an admin, 404 with the nearest name, 409 with the names of the instances that use it.
pub(crate) async fn remove(app: &App, caller: &Caller, name: &str) -> Outcome<()> {
    caller.require(Role::Admin)?;
    let Ok(name) = name.parse::<SecretName>() else { return Err(unknown(app, caller.account, name).await?) };
    let mut tx = app.store.begin().await?;
    let id = match store::secrets::remove(&mut tx, caller.account, &name).await {
        Err(store::StoreError::NotFound { .. }) => {
            drop(tx);
            return Err(why_not_removed(app, caller.account, &name).await?);
        }
        other => other?,
    };
    let act = Act {
        action: "secret.remove",
        kind: "secret",
        id: id.to_string(),
        name: name.as_str(),
        detail: json!({}),
    };
    audit::note(&mut tx, caller.account, caller.actor(), now(), act).await?;
    Ok(tx.commit().await?)
}

async fn why_not_removed(app: &App, account: AccountId, name: &SecretName) -> Outcome<Problem> {
    let rows = store::secrets::list(&app.store, account).await?;
    let Some(row) = rows.into_iter().find(|row| row.name == *name) else {
        return unknown(app, account, name.as_str()).await;
    };
    let mut users: Vec<String> = Known::read(app, account)
        .await?
        .users_of(&row)
        .map(|one| format!("`{}`", one.instance_name))
        .collect();
    users.dedup();
    Ok(Problem::refused(ErrorCode::Conflict, format!("the secret `{name}` is used by {}", users.join(", ")))
        .hint("remove those instances first, or deploy them with another secret"))
}

async fn unknown(app: &App, account: AccountId, name: &str) -> Outcome<Problem> {
    let rows = store::secrets::list(&app.store, account).await?;
    let problem = Problem::not_found("secret", name);
    Ok(match nearest(name, rows.iter().map(|row| row.name.as_str())) {
        Some(near) => problem.hint(format!("did you mean `{near}`?")),
        None => problem.hint("`berth secret list` shows those there are"),
    })
}

/// The secrets of a deployment with the values of those that were given by name, for the checks that values need.
///
/// # Errors
/// 422 that names the field, when the account has no such secret.
pub(crate) async fn resolve(app: &App, account: AccountId, given: &GivenSecrets) -> Outcome<GivenSecrets> {
    let mut all = given.clone();
    for (key, name) in &given.named {
        let Some(version) = store::secrets::newest(&app.store, account, name).await? else {
            let missing = unknown(app, account, name.as_str()).await?.into_detail();
            let problem = Problem::invalid(format!("secrets.{key}"), missing.message);
            return Err(problem.hint(missing.hint.unwrap_or_default()));
        };
        let sealed = version.value_sealed.unwrap_or_default();
        all.values.insert(key.clone(), app.keys.unseal(version.id.0, &sealed)?);
    }
    Ok(all)
}

/// Those that are not the account's. The account's stay there, so that their next versions are the instance's too.
pub(crate) fn own(all: &Secrets, named: &BTreeMap<String, SecretName>) -> Secrets {
    let mut own = all.clone();
    own.retain(|key, _| !named.contains_key(key));
    own
}

/// All secrets of an instance, for the host that it runs on, and which of the account's are among them.
///
/// # Errors
/// What the store and the master key say.
pub(crate) async fn of_instance(app: &App, row: &InstanceRow) -> Outcome<(Secrets, Vec<Handed>)> {
    let mut secrets = app.keys.unseal_all(row.id.0, row.secrets_sealed.as_deref())?;
    let handed = store::secrets::handed(&app.store, row.id).await?;
    for one in &handed {
        secrets.insert(one.variable.clone(), app.keys.unseal(one.id.0, &one.value_sealed)?);
    }
    Ok((secrets, handed))
}

/// Every value that an instance may know at the moment, older versions and what its callers bring included.
///
/// # Errors
/// What the store and the master key say.
pub(crate) async fn known_to(app: &App, id: InstanceId) -> Outcome<Vec<Secret>> {
    let row = store::instances::by_id(&app.store, id).await?;
    let row = row.ok_or_else(|| Problem::not_found("instance", &id.to_string()))?;
    let mut values: Vec<Secret> =
        app.keys.unseal_all(row.id.0, row.secrets_sealed.as_deref())?.into_values().collect();
    for (version, sealed) in store::secrets::known_to(&app.store, id).await? {
        values.push(app.keys.unseal(version.0, &sealed)?);
    }
    values.extend(own_values::of_instance(app, id).await?);
    Ok(values)
}

/// What is shown beside a secret.
struct Known {
    versions: Vec<(VersionRow, Option<String>)>,
    uses: Vec<UseRow>,
}

impl Known {
    async fn read(app: &App, account: AccountId) -> Outcome<Self> {
        let versions = store::secrets::versions(&app.store, account).await?;
        Ok(Self { versions, uses: store::secrets::uses(&app.store, account).await? })
    }

    fn users_of<'a>(&'a self, row: &SecretRow) -> impl Iterator<Item = &'a UseRow> {
        let id = row.id;
        self.uses.iter().filter(move |one| one.secret == id)
    }

    fn render(&self, row: SecretRow) -> StoredSecret {
        let used_by = self.users_of(&row).map(|one| SecretUse {
            instance: one.instance_name.clone(),
            variable: one.variable.clone(),
            version: one.version,
        });
        let versions = self.versions.iter().filter(|(version, _)| version.secret == row.id).take(SHOWN);
        let versions = versions.map(|(version, by)| SecretVersion {
            version: version.version,
            created_at: version.created_at,
            created_by: version.created_by.clone(),
            created_by_name: by.clone(),
        });
        StoredSecret {
            used_by: used_by.collect(),
            versions: versions.collect(),
            name: row.name,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}
