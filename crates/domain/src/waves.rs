//! Hosts that are changed in waves: which of them are begun next, from how far each is. Nothing here asks anybody.
//!
//! What must hold: no wave begins before each host of those before it is done, and after a failure none is begun any more.

use serde::{Deserialize, Serialize};

use crate::status::words;

words! {
    /// How far a host is.
    HostState {
        /// It was not touched.
        Waiting = "waiting",
        /// It is being changed.
        Started = "started",
        /// It is changed and well.
        Done = "done",
        /// It could not be changed; the message says why.
        Failed = "failed",
    }
}

/// How many hosts are changed when a wave is done, counted from the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wave {
    /// So many.
    Hosts(usize),
    /// So many per cent of all, one at least.
    Percent(usize),
}

/// What is no wave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a wave is a number of hosts, such as `1`, or a share of all, such as `25%`, and none is nothing")]
pub struct WaveError;

impl std::str::FromStr for Wave {
    type Err = WaveError;

    fn from_str(text: &str) -> Result<Self, WaveError> {
        let (digits, is_share) = text.strip_suffix('%').map_or((text, false), |digits| (digits, true));
        match digits.parse::<usize>() {
            Ok(1..=100) if is_share => digits.parse().map(Self::Percent).map_err(|_| WaveError),
            Ok(1..) if !is_share => digits.parse().map(Self::Hosts).map_err(|_| WaveError),
            _ => Err(WaveError),
        }
    }
}

/// The wave of each of so many hosts, from 0. What no wave reaches is a last one.
pub fn assign(waves: &[Wave], hosts: usize) -> Vec<usize> {
    let reach = |wave: &Wave| match *wave {
        Wave::Hosts(count) => count,
        Wave::Percent(percent) => (hosts * percent).div_ceil(100),
    };
    (0..hosts).map(|host| waves.iter().position(|wave| host < reach(wave)).unwrap_or(waves.len())).collect()
}

/// What is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Begin with these, by their place in the list.
    Begin(Vec<usize>),
    /// Some are under way.
    Wait,
    /// All are done.
    Done,
    /// One failed, and none is under way any more: the rest stays as it is.
    Stopped,
}

/// What is due, from the wave and the state of each.
pub fn next(hosts: &[(usize, HostState)]) -> Next {
    let any = |state: HostState| hosts.iter().any(|(_, found)| *found == state);
    if any(HostState::Failed) {
        return if any(HostState::Started) { Next::Wait } else { Next::Stopped };
    }
    let open = hosts.iter().filter(|(_, state)| *state != HostState::Done).map(|(wave, _)| *wave);
    let Some(wave) = open.min() else { return Next::Done };
    let due: Vec<usize> =
        (0..hosts.len()).filter(|place| hosts.get(*place) == Some(&(wave, HostState::Waiting))).collect();
    if due.is_empty() { Next::Wait } else { Next::Begin(due) }
}

#[cfg(test)]
mod tests;
