//! One container that asks the resolver: what it was refused, and what was opened for it.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use domain::egress::Blocked;
use domain::ids::InstanceId;
use tokio::sync::Semaphore;

use super::member::Member;
use super::nft::{self, Trouble};
use super::rules::{NAMED, REMEMBERED};
use super::{Filter, rules};

/// Questions of one container at a time. Further ones are left unanswered, as by any resolver under load.
const AT_A_TIME: usize = 32;
/// Refused names of one container that are remembered.
const REFUSED: usize = 32;

/// One container that asks.
#[derive(Debug)]
pub(super) struct Asker {
    pub(super) instance: InstanceId,
    pub(super) member: Member,
    pub(super) turns: Arc<Semaphore>,
    refused: Mutex<BTreeMap<String, Instant>>,
    /// Until when an address, or a port of it, is open.
    opened: Mutex<HashMap<(Ipv4Addr, Option<u16>), Instant>>,
}

impl Asker {
    pub(super) fn new(instance: InstanceId, member: Member) -> Self {
        let turns = Arc::new(Semaphore::new(AT_A_TIME));
        Self { instance, member, turns, refused: Mutex::default(), opened: Mutex::default() }
    }

    /// Remembers a name that it may not resolve. Of too many the oldest are forgotten.
    pub(super) fn refuse(&self, name: String) {
        // Programs ask for the names of addresses that they deal with: nothing is blocked by having none.
        if name.is_empty() || name.rsplit('.').next() == Some("arpa") {
            return;
        }
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.insert(name, Instant::now());
        while REFUSED < refused.len() {
            let oldest = refused.iter().min_by_key(|(_, at)| **at).map(|(name, _)| name.clone());
            oldest.map(|name| refused.remove(&name));
        }
    }

    /// The names that it lately could not resolve.
    pub(super) fn refused(&self) -> Vec<Blocked> {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.retain(|_, at| at.elapsed() < Duration::from_secs(u64::from(REMEMBERED)));
        let blocked = |name: &String| Blocked { protocol: "dns".to_owned(), host: name.clone(), port: None };
        refused.keys().map(blocked).collect()
    }
}

impl Filter {
    /// Opens addresses for a container, for some seconds. What is open for half of them still needs nothing.
    pub(super) async fn open(
        &self,
        asker: &Asker,
        addresses: &[Ipv4Addr],
        ports: &[Option<u16>],
        seconds: u32,
    ) -> Result<(), Trouble> {
        let program = self.program.as_deref().ok_or("nft is not installed")?;
        let now = Instant::now();
        let enough = now + Duration::from_secs(u64::from(seconds / 2));
        let wanted: Vec<(Ipv4Addr, Option<u16>)> = {
            let mut opened = asker.opened.lock().unwrap_or_else(PoisonError::into_inner);
            opened.retain(|_, until| now < *until);
            let all = addresses.iter().flat_map(|address| ports.iter().map(|port| (*address, *port)));
            let missing: Vec<_> =
                all.filter(|key| opened.get(key).is_none_or(|until| *until < enough)).collect();
            let further = missing.iter().filter(|key| !opened.contains_key(key)).count();
            if NAMED < opened.len() + further {
                return Err("the names of this instance have too many addresses".to_owned());
            }
            missing
        };
        if wanted.is_empty() {
            return Ok(());
        }
        let _one_at_a_time = self.state.lock().await;
        let script = nft::naming(&self.table, &asker.member, &wanted, seconds);
        // One may go between being looked at and being taken out; the second time it is not there.
        if nft::run(program, &script).await.is_err() {
            nft::run(program, &script).await?;
        }
        let until = now + Duration::from_secs(u64::from(seconds));
        let mut opened = asker.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.extend(wanted.into_iter().map(|key| (key, until)));
        Ok(())
    }

    /// Opens in a new table what was open in the one before.
    pub(super) async fn open_again(&self, program: &Path) -> Result<(), Trouble> {
        let now = Instant::now();
        let mut script = String::new();
        for asker in self.askers.read().unwrap_or_else(PoisonError::into_inner).values() {
            for (key, until) in asker.opened.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                let left = until.saturating_duration_since(now).as_secs();
                let seconds = u32::try_from(left).unwrap_or(rules::REMEMBERED).max(1);
                script.push_str(&nft::naming(&self.table, &asker.member, &[*key], seconds));
            }
        }
        if script.is_empty() { Ok(()) } else { nft::run(program, &script).await }
    }
}
