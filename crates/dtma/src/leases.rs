//! Until when this host may run the instances that have a lease. On disk, so that a DTMA that is started again goes on; of the boot that
//! wrote it alone, so that a host that boots waits for the control plane.

use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::ids::InstanceId;
use domain::lease::Grants;
use domain::time::Timestamp;
use rustix::time::{ClockId, clock_gettime};

use crate::plan::Lease;

/// Names the boot of this host.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// What this host may run.
#[derive(Debug)]
pub(crate) struct Leases {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    grants: Grants,
    /// When the newest heartbeat was sent that was answered, for people.
    contact: Option<Timestamp>,
}

impl Leases {
    /// Reads what an earlier DTMA left at `path`. What cannot be read counts as nothing: then the next heartbeat decides.
    pub(crate) fn open(path: PathBuf) -> Self {
        let kept = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let boot = fs::read_to_string(BOOT_ID).unwrap_or_default().trim().to_owned();
        let state = State { grants: Grants::at_start(kept, boot), contact: None };
        Self { path, state: Mutex::new(state) }
    }

    /// Takes the answer to a heartbeat that was sent at `sent`.
    pub(crate) fn acknowledge(&self, sent: Moment, leases: &[InstanceId]) {
        let mut state = self.state();
        state.contact = Some(sent.wall);
        if state.grants.acknowledge(sent.boot, leases) {
            // Not synced: after a boot it counts for nothing. One that is lost costs a stop after the next start of the DTMA.
            let beside = self.path.with_extension("new");
            let written = serde_json::to_vec(&state.grants)
                .map_err(std::io::Error::from)
                .and_then(|text| fs::write(&beside, text))
                .and_then(|()| fs::rename(&beside, &self.path));
            if let Err(error) = written {
                tracing::warn!(path = %self.path.display(), %error, "the leases of this host cannot be written");
            }
        }
    }

    /// Forgets what was granted to an instance.
    pub(crate) fn forget(&self, id: InstanceId) {
        self.state().grants.forget(id);
    }

    /// How it is with the lease of an instance.
    pub(crate) fn of(&self, id: InstanceId, lease_seconds: Option<u64>) -> Lease {
        let Some(seconds) = lease_seconds else { return Lease::None };
        let state = self.state();
        let Some(until) = state.grants.until(id, Duration::from_secs(seconds)) else { return Lease::Awaited };
        match until.checked_sub(Moment::now().boot) {
            Some(left) if 0 < left => Lease::Runs { left: Duration::from_millis(left), until },
            _ => Lease::Over { contact: state.contact },
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A moment on two clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// Milliseconds since this host was booted, sleep included.
    boot: u64,
    /// The wall's, for people.
    wall: Timestamp,
}

impl Moment {
    /// This one.
    pub(crate) fn now() -> Self {
        let time = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        let millis = u64::try_from(time.tv_nsec).unwrap_or_default() / 1_000_000;
        Self { boot: seconds * 1000 + millis, wall: crate::instance::now() }
    }
}
