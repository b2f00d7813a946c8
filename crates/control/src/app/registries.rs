//! What opens registries of container images: given and forgotten by admins, never shown, handed to the host that pulls an
//! image of the registry, with the spec that names it.

use std::collections::HashMap;

use api::registries::{Registry, RegistryLoginRequest};
use api::users::Role;
use domain::ids::{AccountId, InstanceId, RegistryLoginId};
use domain::package::Package;
use domain::registry::{RegistryHost, RegistryLogin, registry_of};
use serde_json::json;
use store::instances::InstanceRow;
use store::registries::RegistryRow;

use crate::app::audit::{self, Act};
use crate::app::{App, Outcome, Problem};
use crate::auth::Caller;
use crate::directory::now;

/// The longest name of a user, in bytes.
const MAX_USERNAME: usize = 255;
/// The longest password, in bytes: some registries give tokens of a few KiB.
const MAX_PASSWORD: usize = 16 << 10;

/// The registries that the account has a login for.
///
/// # Errors
/// 403 below an admin.
pub(crate) async fn list(app: &App, caller: &Caller) -> Outcome<Vec<Registry>> {
    caller.require(Role::Admin)?;
    let rows = store::registries::list(&app.store, caller.account).await?;
    Ok(rows.into_iter().map(render).collect())
}

/// Keeps a login, in the place of an older one for the same registry. Hosts that need it are told; what runs there goes on.
///
/// # Errors
/// 403 below an admin, 422 with field.
pub(crate) async fn login(
    app: &App,
    caller: &Caller,
    host: &str,
    request: &RegistryLoginRequest,
) -> Outcome<Registry> {
    caller.require(Role::Admin)?;
    let host = host.parse::<RegistryHost>().map_err(|error| Problem::invalid("host", error))?;
    let username = request.username.as_str();
    // Of HTTP's Basic scheme, in which the user ends at the first colon (RFC 7617 §2).
    if username.is_empty()
        || MAX_USERNAME < username.len()
        || username.contains(|c: char| c == ':' || c.is_control())
    {
        return Err(Problem::invalid(
            "username",
            format!("a user has 1 to {MAX_USERNAME} bytes without colons and control characters"),
        ));
    }
    let password = request.password.expose();
    if password.is_empty() || MAX_PASSWORD < password.len() || password.contains(char::is_control) {
        return Err(Problem::invalid(
            "password",
            format!("a password has 1 to {} KiB without control characters", MAX_PASSWORD >> 10),
        )
        .hint("it is read as it is, but for one line end after it"));
    }
    let (id, at) = (RegistryLoginId::generate(), now());
    let row = RegistryRow {
        id,
        account: caller.account,
        host,
        username: username.to_owned(),
        password_sealed: app.keys.seal(id.0, password)?,
        updated_at: at,
    };
    let mut tx = app.store.begin().await?;
    store::registries::put(&mut tx, &row).await?;
    let act = Act {
        action: "registry.login",
        kind: "registry",
        id: id.to_string(),
        name: row.host.as_str(),
        detail: json!({ "username": username }),
    };
    audit::note(&mut tx, caller.account, caller.actor(), at, act).await?;
    tx.commit().await?;
    app.deploy.notify_one();
    Ok(render(row))
}

/// Forgets a login. Hosts that were told it are told to forget it; what runs there goes on.
///
/// # Errors
/// 403 below an admin, 404.
pub(crate) async fn logout(app: &App, caller: &Caller, host: &str) -> Outcome<()> {
    caller.require(Role::Admin)?;
    let unknown = || {
        Problem::not_found("login of the registry", host).hint("`berth registry list` shows those there are")
    };
    let host = host.parse::<RegistryHost>().map_err(|_| unknown())?;
    let mut tx = app.store.begin().await?;
    let id = match store::registries::delete(&mut tx, caller.account, &host).await {
        Err(store::StoreError::NotFound { .. }) => return Err(unknown()),
        other => other?,
    };
    let act = Act {
        action: "registry.logout",
        kind: "registry",
        id: id.to_string(),
        name: host.as_str(),
        detail: json!({}),
    };
    audit::note(&mut tx, caller.account, caller.actor(), now(), act).await?;
    tx.commit().await?;
    app.deploy.notify_one();
    Ok(())
}

/// The registry of a package that is an image.
fn host_of(package: &Package) -> Option<RegistryHost> {
    let Package::Oci { image } = package else { return None };
    // What is no host of a registry has no login.
    registry_of(image).parse().ok()
}

/// The login that a host needs for a package, and its id; `None` for what is no image, and when the account has none.
///
/// # Errors
/// What the store and the master key say.
pub(crate) async fn login_for(
    app: &App,
    account: AccountId,
    package: &Package,
) -> Outcome<Option<(RegistryLoginId, RegistryLogin)>> {
    let Some(host) = host_of(package) else { return Ok(None) };
    let Some(row) = store::registries::by_host(&app.store, account, &host).await? else { return Ok(None) };
    let password = app.keys.unseal(row.id.0, &row.password_sealed)?;
    Ok(Some((row.id, RegistryLogin { host: row.host, username: row.username, password })))
}

/// Which logins hosts should know, and which they were told.
#[derive(Debug)]
pub(crate) struct Handovers {
    wanted: HashMap<(AccountId, RegistryHost), RegistryLoginId>,
    told: HashMap<InstanceId, RegistryLoginId>,
}

impl Handovers {
    /// As the store has them.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) async fn read(app: &App) -> Outcome<Self> {
        let logins = store::registries::list_all(&app.store).await?;
        let wanted = logins.into_iter().map(|row| ((row.account, row.host), row.id)).collect();
        Ok(Self { wanted, told: store::registries::handed_over(&app.store).await? })
    }

    /// Whether the host of an instance knows another login for its image than it should.
    pub(crate) fn is_due(&self, row: &InstanceRow) -> bool {
        let wanted = host_of(&row.spec.package).and_then(|host| self.wanted.get(&(row.account, host)));
        self.told.get(&row.id) != wanted
    }
}

fn render(row: RegistryRow) -> Registry {
    Registry { host: row.host, username: row.username, updated_at: row.updated_at }
}
