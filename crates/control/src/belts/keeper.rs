//! Keeps a shim for each toolbelt there is.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use domain::ids::{InstanceId, ToolbeltId};
use domain::shim::{Link, MCP_PATH, Mode, Opening, SOCKET, ShimConfig};
use gateway::Target;
use hop::address::Address;
use http::{HeaderValue, Uri};
use store::StoreError;
use store::toolbelts::AddressedToolbelt;
use tokio_util::sync::CancellationToken;

use super::code::Code;
use super::{Belts, rows};
use crate::app::App;
use crate::app::problem::Chain;

/// How often changes of other replicas are looked for.
const PERIOD: Duration = Duration::from_secs(5);
/// Calls of one toolbelt at a time; its members have bounds of their own.
const MOST_CALLS: usize = 4096;
/// Until its code must have said what it is.
const STARTUP: Duration = Duration::from_secs(10);

/// A toolbelt that runs.
#[derive(Debug)]
pub(super) struct Life {
    code: Arc<Code>,
    generation: u64,
    target: Arc<Target>,
    task: tokio::task::JoinHandle<()>,
}

impl Belts {
    /// Keeps them until the process ends, in `dir`, which is theirs alone.
    pub(crate) async fn keep(&self, app: &Arc<App>, dir: PathBuf) {
        // It is set once, by whoever serves.
        let _ = self.begun.set((Arc::downgrade(app), dir));
        loop {
            self.settle().await;
            tokio::select! {
                () = app.stop.cancelled() => break,
                () = self.changed.notified() => {}
                () = tokio::time::sleep(PERIOD) => {}
            }
        }
        for (_, life) in self.lives.lock().await.drain() {
            life.code.stop.cancel();
            if let Err(error) = life.task.await {
                tracing::error!(%error, "a toolbelt ended by a panic");
            }
        }
    }

    /// Makes what runs be what the tables say. What fails is tried again before long.
    pub(crate) async fn settle(&self) {
        let Some((app, dir)) = self.begun.get() else { return };
        let Some(app) = app.upgrade().filter(|app| !app.stop.is_cancelled()) else { return };
        let mut lives = self.lives.lock().await;
        if let Err(error) = pass(&app, dir, &mut lives).await {
            tracing::warn!(error = %Chain(&error), "toolbelts could not be read");
        }
    }
}

async fn pass(app: &Arc<App>, dir: &Path, lives: &mut HashMap<ToolbeltId, Life>) -> Result<(), StoreError> {
    let rows = store::toolbelts::all(&app.store).await?;
    let gone: Vec<ToolbeltId> = lives
        .iter()
        .filter(|(id, life)| life.task.is_finished() || rows.iter().all(|row| row.toolbelt.id != **id))
        .map(|(id, _)| *id)
        .collect();
    for id in gone {
        if let Some(life) = lives.remove(&id) {
            life.code.stop.cancel();
            // One that ended by itself is started again, in the same directory.
            if rows.iter().all(|row| row.toolbelt.id != id) {
                tokio::spawn(ended(life, dir.join(id.to_string())));
            }
        }
    }
    for row in &rows {
        let id = row.toolbelt.id;
        match lives.get_mut(&id) {
            Some(life)
                if life.generation == row.toolbelt.generation
                    && !life.code.is_unkept.load(Ordering::Relaxed) => {}
            Some(life) => {
                life.code.reload(rows::load(&app.store, row).await?);
                life.generation = row.toolbelt.generation;
            }
            None => match start(app, &dir.join(id.to_string()), row).await? {
                Ok(life) => {
                    lives.insert(id, life);
                }
                Err(why) => {
                    tracing::error!(toolbelt = %row.toolbelt.name, "a toolbelt cannot be served: {why}");
                }
            },
        }
    }
    let mut targets: HashMap<String, HashMap<String, Arc<Target>>> = HashMap::new();
    for row in &rows {
        let Some(life) = lives.get(&row.toolbelt.id) else { continue };
        let of_account = targets.entry(row.account_name.as_str().to_owned()).or_default();
        of_account.insert(row.toolbelt.name.as_str().to_owned(), Arc::clone(&life.target));
    }
    app.directory.set_toolbelts(targets);
    app.belts.running.store(Arc::new(lives.iter().map(|(id, life)| (*id, Arc::clone(&life.code))).collect()));
    Ok(())
}

async fn start(
    app: &Arc<App>,
    dir: &Path,
    row: &AddressedToolbelt,
) -> Result<Result<Life, String>, StoreError> {
    let toolbelt = &row.toolbelt;
    let kept = rows::load(&app.store, row).await?;
    // Its key and its calls are known by its id, as an instance's are.
    let instance = InstanceId(toolbelt.id.0);
    let key = app.keys.instance_key(instance);
    let made = make_dir(dir.to_owned()).await;
    if let Err(error) = made {
        return Ok(Err(format!("its directory {} cannot be made: {error}", dir.display())));
    }
    let Ok(mut shown) = HeaderValue::try_from(key.expose()) else {
        return Ok(Err("its key cannot be sent".to_owned()));
    };
    shown.set_sensitive(true);
    let config = ShimConfig {
        instance,
        name: toolbelt.name.clone(),
        // Sessions of clients go on when people change it.
        generation: 1,
        pid: None,
        socket_dir: dir.to_owned(),
        log: dir.join("log"),
        sessions: dir.join("sessions"),
        facts: dir.join("facts"),
        mode: Mode::Shared,
        strict_sessions: false,
        idle_ms: u64::MAX,
        sleep_ms: None,
        link: Link::Virtual,
        command: Vec::new(),
        cwd: dir.to_owned(),
        env: std::collections::BTreeMap::new(),
        secrets: std::collections::BTreeMap::new(),
        each_caller: None,
        filter: false,
        key,
        opening: Opening::Legacy,
        startup_ms: u64::try_from(STARTUP.as_millis()).unwrap_or(u64::MAX),
        max_in_flight: MOST_CALLS,
    };
    let target = Arc::new(Target {
        instance,
        name: toolbelt.name.clone(),
        address: Address::Unix { dir: dir.to_owned(), file: SOCKET.to_owned() },
        uri: Uri::from_static(MCP_PATH),
        bearer: None,
        key: shown,
        limit: None,
        is_changing: false,
    });
    let stop = CancellationToken::new();
    let code = Code::new(app, row, kept, stop.clone());
    let server = Arc::clone(&code);
    let name = toolbelt.name.clone();
    let task = tokio::spawn(async move {
        let ended = shim::run_virtual(config, server, stop.clone().cancelled_owned()).await;
        stop.cancel();
        if let Err(error) = ended {
            tracing::error!(toolbelt = %name, error = %Chain(&error), "a toolbelt ended");
        }
    });
    Ok(Ok(Life { code, generation: toolbelt.generation, target, task }))
}

/// What a toolbelt leaves behind goes when it is gone.
async fn ended(life: Life, dir: PathBuf) {
    if let Err(error) = life.task.await {
        tracing::error!(%error, "a toolbelt ended by a panic");
    }
    if let Err(error) = tokio::fs::remove_dir_all(&dir).await {
        tracing::warn!(%error, "the directory {} of a toolbelt that is gone could not be removed", dir.display());
    }
}

async fn make_dir(dir: PathBuf) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    let make = move || std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    tokio::task::spawn_blocking(make).await?
}
