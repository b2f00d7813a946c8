//! A machine that is made at a provider and destroyed there: what is to be done next, from what is remembered of it and what
//! is seen. Nothing here asks anybody or reads a clock.
//!
//! What must hold whatever fails in between: a machine that nobody wants any more is destroyed, one that could still appear is
//! waited for before it is forgotten, and no state says more than was seen.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::status::{EnvironmentStatus, words};
use crate::time::Timestamp;

/// How long each step may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Until the provider has taken the order.
    pub creating: Duration,
    /// From there until the machine is on.
    pub provisioning: Duration,
    /// From there until its first heartbeat.
    pub first_heartbeat: Duration,
    /// Until it is destroyed. Then that is said, and tried on.
    pub deleting: Duration,
    /// After an order was sent, it may still come true for so long.
    pub quarantine: Duration,
    /// A machine that reported within so long is there, whatever the provider says.
    pub silence: Duration,
}

impl Default for Limits {
    /// Droplets are on within a minute or two; installing takes as long again.
    fn default() -> Self {
        let minutes = |n: u64| Duration::from_secs(60 * n);
        Self {
            creating: minutes(30),
            provisioning: minutes(10),
            first_heartbeat: minutes(15),
            deleting: minutes(10),
            quarantine: minutes(2),
            silence: Duration::from_secs(45),
        }
    }
}

words! {
    /// What its owner wants.
    Wish {
        /// A machine.
        Present = "present",
        /// None, and no row either.
        Absent = "absent",
    }
}

words! {
    /// Whether the rules around it are there.
    Firewall {
        /// Certainly not.
        None = "none",
        /// They were asked for, and perhaps made.
        Perhaps = "perhaps",
        /// They are.
        Made = "made",
    }
}

words! {
    /// Why there is no usable machine. The sentences for people are made where more is known.
    Fault {
        /// The provider does not want to make it.
        Refused = "refused",
        /// The order took too long.
        NotTaken = "not_taken",
        /// It was never on. It is destroyed.
        NeverOn = "never_on",
        /// It is on and says nothing. It is left for its owner to look at.
        NoHeartbeat = "no_heartbeat",
        /// Somebody else destroyed it.
        Vanished = "vanished",
        /// Destroying it takes long.
        Undestroyed = "undestroyed",
    }
}

/// What is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// What is wanted.
    pub wish: Wish,
    /// The environment's state.
    pub status: EnvironmentStatus,
    /// Since when it is in that state.
    pub since: Timestamp,
    /// Why it failed.
    pub fault: Option<Fault>,
    /// The machine's number, once it is known.
    pub machine: Option<u64>,
    /// When an order was last sent that may come true yet; `None` also when the one that was sent was answered.
    pub sent_at: Option<Timestamp>,
    /// The rules around it.
    pub firewall: Firewall,
    /// When its DTMA last reported.
    pub heartbeat: Option<Timestamp>,
    /// Nothing is asked of the provider before.
    pub next_try: Timestamp,
}

/// What the provider says of one machine that is ours: it carries the operation's tag, and the name or number that we gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// Its number.
    pub id: u64,
    /// Whether it was switched on and has its address; it may be off again.
    pub made: bool,
}

/// What the provider says of all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// It did not answer.
    Unknown,
    /// These, and no other: the machine whose number is known was asked for by it.
    Machines(Vec<Machine>),
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing for now.
    Wait,
    /// Make the rules, before there is a machine that needs them.
    MakeFirewall,
    /// Order the machine. `again`: it may have been ordered before.
    Order {
        /// Whether an order may be under way.
        again: bool,
    },
    /// This is its machine; the provider is making it.
    Adopt(u64),
    /// Its state is another one.
    Become(EnvironmentStatus, Option<Fault>),
    /// Destroy a machine.
    Destroy(u64),
    /// Remove what was made around the machine.
    CleanUp,
    /// Nothing is left: forget it.
    Forget,
}

/// The next step. After it was done, the one after that is asked for with what is known then.
pub fn plan(record: &Record, seen: &Seen, now: Timestamp, limits: &Limits) -> Step {
    let step = match record.wish {
        Wish::Present => present(record, seen, now, limits),
        Wish::Absent => absent(record, seen, now, limits),
    };
    let asks = matches!(step, Step::MakeFirewall | Step::Order { .. } | Step::Destroy(_) | Step::CleanUp);
    if asks && now < record.next_try { Step::Wait } else { step }
}

fn present(record: &Record, seen: &Seen, now: Timestamp, limits: &Limits) -> Step {
    use EnvironmentStatus::{
        Active, AwaitingHeartbeat, Creating, Deleting, Deprovisioned, ErrorCreation, ErrorDeletion,
        ErrorProvisioning, Provisioning, Unresponsive,
    };
    let late = |limit| limit <= since(record.since, now);
    let machines = match seen {
        Seen::Machines(machines) => machines,
        Seen::Unknown => {
            return match record.status {
                Creating if late(limits.creating) => Step::Become(ErrorCreation, Some(Fault::NotTaken)),
                AwaitingHeartbeat if late(limits.first_heartbeat) => {
                    Step::Become(ErrorProvisioning, Some(Fault::NoHeartbeat))
                }
                _ => Step::Wait,
            };
        }
    };
    let kept = kept(record, machines);
    let surplus = machines.iter().find(|machine| Some(machine.id) != kept.map(|kept| kept.id));
    match (record.status, kept) {
        (ErrorCreation, Some(late)) => Step::Destroy(late.id),
        (ErrorCreation | Deprovisioned, None) => clean(record),
        (Creating, Some(found)) => Step::Adopt(found.id),
        (Creating, None) if late(limits.creating) => Step::Become(ErrorCreation, Some(Fault::NotTaken)),
        (Creating, None) if record.firewall != Firewall::Made => Step::MakeFirewall,
        (Creating, None) => Step::Order { again: record.sent_at.is_some() },
        (ErrorProvisioning, Some(machine)) if record.fault == Some(Fault::NeverOn) => {
            Step::Destroy(machine.id)
        }
        (ErrorProvisioning, None) => match record.fault {
            Some(Fault::NeverOn | Fault::Vanished) => clean(record),
            _ => Step::Become(ErrorProvisioning, Some(Fault::Vanished)),
        },
        (Provisioning | AwaitingHeartbeat, None) => Step::Become(ErrorProvisioning, Some(Fault::Vanished)),
        (Active | Unresponsive, None) => {
            let reports = record.heartbeat.is_some_and(|at| since(at, now) < limits.silence);
            if reports { Step::Wait } else { Step::Become(Deprovisioned, Some(Fault::Vanished)) }
        }
        // A row that is wanted is in these states for no longer than it takes to write the wish.
        (Deleting | ErrorDeletion, _) => Step::Wait,
        (_, Some(machine)) if record.machine != Some(machine.id) => Step::Adopt(machine.id),
        (_, Some(_)) if surplus.is_some() => surplus.map_or(Step::Wait, |surplus| Step::Destroy(surplus.id)),
        (Provisioning, Some(machine)) if machine.made => Step::Become(AwaitingHeartbeat, None),
        (Provisioning, Some(_)) if late(limits.provisioning) => {
            Step::Become(ErrorProvisioning, Some(Fault::NeverOn))
        }
        (AwaitingHeartbeat, Some(_)) if late(limits.first_heartbeat) => {
            Step::Become(ErrorProvisioning, Some(Fault::NoHeartbeat))
        }
        // The provider was wrong, or somebody took a machine back.
        (Deprovisioned, Some(_)) => Step::Become(Unresponsive, None),
        (ErrorProvisioning, Some(_)) if record.fault == Some(Fault::Vanished) => {
            Step::Become(Provisioning, None)
        }
        (Provisioning | AwaitingHeartbeat | Active | Unresponsive | ErrorProvisioning, Some(_)) => Step::Wait,
    }
}

fn absent(record: &Record, seen: &Seen, now: Timestamp, limits: &Limits) -> Step {
    if record.status == EnvironmentStatus::Deleting && limits.deleting <= since(record.since, now) {
        return Step::Become(EnvironmentStatus::ErrorDeletion, Some(Fault::Undestroyed));
    }
    let Seen::Machines(machines) = seen else { return Step::Wait };
    if let Some(machine) = machines.first() {
        return Step::Destroy(machine.id);
    }
    if record.sent_at.is_some_and(|at| since(at, now) < limits.quarantine) {
        return Step::Wait;
    }
    match clean(record) {
        Step::Wait => Step::Forget,
        step => step,
    }
}

fn clean(record: &Record) -> Step {
    if record.firewall == Firewall::None { Step::Wait } else { Step::CleanUp }
}

/// Of several machines the one that is known already, or the one that was made first.
fn kept<'a>(record: &Record, machines: &'a [Machine]) -> Option<&'a Machine> {
    let known = machines.iter().find(|machine| Some(machine.id) == record.machine);
    known.or_else(|| machines.iter().min_by_key(|machine| machine.id))
}

fn since(earlier: Timestamp, now: Timestamp) -> Duration {
    Duration::from_micros(now.micros_since(earlier).unsigned_abs())
}

#[cfg(test)]
mod tests;
