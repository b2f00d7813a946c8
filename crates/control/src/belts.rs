//! Running toolbelts: in this process a shim for each, whose server is code that calls the members through the gateway, in the caller's
//! name. So the rules of the account, the limits and the audit are what they are for whoever calls a member itself.

mod code;
mod exchange;
mod freshness;
mod keeper;
mod listen;
mod rows;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, Weak};

use arc_swap::ArcSwap;
use domain::ids::{InstanceId, ToolbeltId};
use tokio::sync::Notify;

use crate::app::App;
use crate::auth::Caller;
use code::Code;
use keeper::Life;

/// The toolbelts that run here.
#[derive(Debug, Default)]
pub(crate) struct Belts {
    /// What they are made with; absent before the process serves.
    begun: OnceLock<(Weak<App>, PathBuf)>,
    lives: tokio::sync::Mutex<HashMap<ToolbeltId, Life>>,
    running: ArcSwap<HashMap<ToolbeltId, Arc<Code>>>,
    changed: Notify,
}

/// What a toolbelt knows of a member beside what the tables have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MemberState {
    /// Which instance.
    pub(crate) instance: InstanceId,
    /// Why its features are not to be had; absent: they are, or nobody has asked yet.
    pub(crate) trouble: Option<String>,
}

impl Belts {
    /// After a change of instances was committed that toolbelts may have as members.
    pub(crate) fn changed(&self) {
        self.changed.notify_one();
    }

    /// How the members of a toolbelt are, after they were asked in the caller's name what they have; those that answer soon are waited for,
    /// and what they say is in the tables then. With `anew` also when that was asked just now.
    pub(crate) async fn look(&self, caller: &Caller, id: ToolbeltId, anew: bool) -> Vec<MemberState> {
        let Some(code) = self.running.load().get(&id).cloned() else { return Vec::new() };
        if anew {
            code.look(&caller.principal).await;
        } else {
            code.fresh(&caller.principal).await;
        }
        code.members()
    }
}
