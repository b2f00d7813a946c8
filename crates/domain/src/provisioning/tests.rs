use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use EnvironmentStatus::{
    Active, AwaitingHeartbeat, Creating, Deleting, Deprovisioned, ErrorCreation, ErrorDeletion,
    ErrorProvisioning, Provisioning, Unresponsive,
};

const fn at(seconds: i64) -> Timestamp {
    Timestamp(seconds * 1_000_000)
}

const NOW: Timestamp = at(100_000);

const fn ago(seconds: i64) -> Timestamp {
    Timestamp(NOW.0 - seconds * 1_000_000)
}

fn record(status: EnvironmentStatus) -> Record {
    Record {
        wish: Wish::Present,
        status,
        since: NOW,
        fault: None,
        machine: Some(7),
        sent_at: Some(ago(600)),
        firewall: Firewall::Made,
        heartbeat: None,
        next_try: at(0),
    }
}

const ON: Machine = Machine { id: 7, made: true };
const NEW: Machine = Machine { id: 7, made: false };
const OTHER: Machine = Machine { id: 8, made: true };

#[test]
fn what_is_done_next() {
    let table = |record: Record, seen: &[Machine], expected: Step| {
        let step = plan(&record, &Seen::Machines(seen.to_vec()), NOW, &Limits::default());
        assert_eq!(step, expected, "{record:?} {seen:?}");
    };
    let with = |status, change: fn(&mut Record)| {
        let mut record = record(status);
        change(&mut record);
        record
    };
    let failed = |status, fault| Step::Become(status, Some(fault));
    let new = |change: fn(&mut Record)| {
        let mut record = Record { machine: None, sent_at: None, ..record(Creating) };
        change(&mut record);
        record
    };

    // On its way.
    table(new(|r| r.firewall = Firewall::None), &[], Step::MakeFirewall);
    table(new(|r| r.firewall = Firewall::Perhaps), &[], Step::MakeFirewall);
    table(new(|_| ()), &[], Step::Order { again: false });
    table(new(|r| r.sent_at = Some(ago(1))), &[], Step::Order { again: true });
    table(new(|r| r.next_try = at(100_001)), &[], Step::Wait);
    table(new(|r| r.sent_at = Some(ago(1))), &[NEW], Step::Adopt(7));
    table(new(|_| ()), &[OTHER, NEW], Step::Adopt(7));
    table(new(|r| r.since = ago(1800)), &[], failed(ErrorCreation, Fault::NotTaken));
    table(new(|r| r.since = ago(1800)), &[NEW], Step::Adopt(7));
    table(record(Provisioning), &[NEW], Step::Wait);
    table(record(Provisioning), &[ON], Step::Become(AwaitingHeartbeat, None));
    table(record(Provisioning), &[NEW, OTHER], Step::Destroy(8));
    table(record(Provisioning), &[OTHER], Step::Adopt(8));
    table(record(Provisioning), &[], failed(ErrorProvisioning, Fault::Vanished));
    table(with(Provisioning, |r| r.since = ago(600)), &[NEW], failed(ErrorProvisioning, Fault::NeverOn));
    table(with(Provisioning, |r| r.since = ago(600)), &[ON], Step::Become(AwaitingHeartbeat, None));
    table(record(AwaitingHeartbeat), &[ON], Step::Wait);
    table(record(AwaitingHeartbeat), &[], failed(ErrorProvisioning, Fault::Vanished));
    table(
        with(AwaitingHeartbeat, |r| r.since = ago(900)),
        &[ON],
        failed(ErrorProvisioning, Fault::NoHeartbeat),
    );

    // There.
    for status in [Active, Unresponsive] {
        table(record(status), &[ON], Step::Wait);
        table(record(status), &[ON, OTHER], Step::Destroy(8));
        table(record(status), &[], failed(Deprovisioned, Fault::Vanished));
    }
    table(with(Active, |r| r.heartbeat = Some(ago(5))), &[], Step::Wait);
    table(with(Active, |r| r.heartbeat = Some(ago(50))), &[], failed(Deprovisioned, Fault::Vanished));
    table(record(Deprovisioned), &[ON], Step::Become(Unresponsive, None));
    table(record(Deprovisioned), &[], Step::CleanUp);
    table(with(Deprovisioned, |r| r.firewall = Firewall::None), &[], Step::Wait);

    // Failed: what costs and helps nobody goes, what its owner may look at stays.
    table(record(ErrorCreation), &[NEW], Step::Destroy(7));
    table(record(ErrorCreation), &[], Step::CleanUp);
    table(with(ErrorCreation, |r| r.next_try = at(100_001)), &[NEW], Step::Wait);
    table(with(ErrorProvisioning, |r| r.fault = Some(Fault::NeverOn)), &[NEW], Step::Destroy(7));
    table(with(ErrorProvisioning, |r| r.fault = Some(Fault::NeverOn)), &[], Step::CleanUp);
    table(with(ErrorProvisioning, |r| r.fault = Some(Fault::NoHeartbeat)), &[ON], Step::Wait);
    table(with(ErrorProvisioning, |r| r.fault = Some(Fault::NoHeartbeat)), &[ON, OTHER], Step::Destroy(8));
    table(
        with(ErrorProvisioning, |r| r.fault = Some(Fault::NoHeartbeat)),
        &[],
        failed(ErrorProvisioning, Fault::Vanished),
    );

    // On its way out.
    let gone = |change: fn(&mut Record)| {
        let mut record = Record { wish: Wish::Absent, ..record(Deleting) };
        change(&mut record);
        record
    };
    table(gone(|_| ()), &[ON], Step::Destroy(7));
    table(gone(|_| ()), &[ON, OTHER], Step::Destroy(7));
    table(gone(|r| r.since = ago(600)), &[ON], failed(ErrorDeletion, Fault::Undestroyed));
    table(gone(|r| r.status = ErrorDeletion), &[ON], Step::Destroy(7));
    table(gone(|r| r.next_try = at(100_001)), &[ON], Step::Wait);
    table(gone(|r| r.sent_at = Some(ago(100))), &[], Step::Wait);
    table(gone(|r| r.sent_at = Some(ago(100))), &[NEW], Step::Destroy(7));
    table(gone(|r| r.sent_at = Some(ago(120))), &[], Step::CleanUp);
    table(gone(|r| r.firewall = Firewall::Perhaps), &[], Step::CleanUp);
    table(gone(|r| r.firewall = Firewall::None), &[], Step::Forget);
}

#[test]
fn a_provider_that_does_not_answer_decides_nothing_but_time_goes_on() {
    let check = |status, since, wish, expected| {
        let record = Record { wish, since, ..record(status) };
        assert_eq!(plan(&record, &Seen::Unknown, NOW, &Limits::default()), expected, "{status}");
    };
    for status in [Creating, Provisioning, AwaitingHeartbeat, Active, Unresponsive, ErrorCreation] {
        check(status, NOW, Wish::Present, Step::Wait);
    }
    let failed = |status, fault| Step::Become(status, Some(fault));
    check(Creating, ago(1800), Wish::Present, failed(ErrorCreation, Fault::NotTaken));
    check(Provisioning, ago(1800), Wish::Present, Step::Wait);
    check(AwaitingHeartbeat, ago(1800), Wish::Present, failed(ErrorProvisioning, Fault::NoHeartbeat));
    check(Deleting, NOW, Wish::Absent, Step::Wait);
    check(Deleting, ago(600), Wish::Absent, failed(ErrorDeletion, Fault::Undestroyed));
    check(ErrorDeletion, ago(1800), Wish::Absent, Step::Wait);
}

/// What may happen in one round of a machine's life, besides the step itself.
#[derive(Debug, Clone, Copy)]
enum Chance {
    Nothing,
    /// The provider does not answer.
    Silent,
    /// The order, or the destruction, is answered with an error and not carried out.
    Refused,
    /// It is carried out and nobody is told.
    Lost,
    /// It is carried out so many seconds later, and nobody is told.
    Late(i64),
    /// The machine is never on.
    Broken,
    /// Its host agent reports.
    Beat,
    /// Somebody destroys it.
    Theft,
    /// Its owner does not want it any more.
    Unwanted,
}

fn chances() -> impl Strategy<Value = Vec<Chance>> {
    let chance = prop_oneof![
        6 => Just(Chance::Nothing),
        2 => Just(Chance::Silent),
        1 => Just(Chance::Refused),
        2 => Just(Chance::Lost),
        1 => (1..100i64).prop_map(Chance::Late),
        1 => Just(Chance::Broken),
        3 => Just(Chance::Beat),
        1 => Just(Chance::Theft),
        1 => Just(Chance::Unwanted),
    ];
    prop::collection::vec(chance, 0..60)
}

/// A provider, a row, and a clock.
struct Life {
    record: Record,
    machines: BTreeMap<u64, i64>,
    /// When lost orders come true.
    orders: Vec<i64>,
    broken: bool,
    now: i64,
    last: u64,
    forgotten: bool,
}

impl Life {
    fn order(&mut self) -> u64 {
        self.last += 1;
        self.machines.insert(self.last, self.now);
        self.last
    }

    fn seen(&mut self) -> Seen {
        let now = self.now;
        let due = self.orders.iter().filter(|&&order| order <= now).count();
        self.orders.retain(|&order| now < order);
        for _ in 0..due {
            self.order();
        }
        let machine = |(&id, &born): (&u64, &i64)| Machine { id, made: !self.broken && born + 20 <= now };
        Seen::Machines(self.machines.iter().map(machine).collect())
    }

    fn become_(&mut self, status: EnvironmentStatus, fault: Option<Fault>) {
        self.record.status = status;
        self.record.fault = fault;
        self.record.since = at(self.now);
    }

    fn round(&mut self, chance: Chance) {
        self.now += 7;
        let record = &mut self.record;
        match chance {
            Chance::Broken => self.broken = true,
            Chance::Theft => drop(self.machines.pop_first()),
            Chance::Unwanted if record.wish == Wish::Present => {
                record.wish = Wish::Absent;
                self.become_(Deleting, None);
            }
            Chance::Beat if !self.broken && !self.machines.is_empty() => {
                record.heartbeat = Some(at(self.now));
                if !matches!(record.status, Deleting | ErrorDeletion) {
                    self.become_(Active, None);
                }
            }
            _ => {}
        }
        let seen = if matches!(chance, Chance::Silent) { Seen::Unknown } else { self.seen() };
        match plan(&self.record, &seen, at(self.now), &Limits::default()) {
            Step::Wait => {}
            Step::MakeFirewall => self.record.firewall = Firewall::Made,
            Step::Order { again } => {
                assert_eq!(again, self.record.sent_at.is_some());
                self.record.sent_at = Some(at(self.now));
                match chance {
                    Chance::Refused => {}
                    Chance::Lost => drop(self.order()),
                    Chance::Late(by) => self.orders.push(self.now + by),
                    _ => {
                        let id = self.order();
                        self.record.machine = Some(id);
                        self.become_(Provisioning, None);
                    }
                }
            }
            Step::Adopt(id) => {
                self.record.machine = Some(id);
                if self.record.status == Creating {
                    self.become_(Provisioning, None);
                }
            }
            Step::Become(status, fault) => self.become_(status, fault),
            Step::Destroy(id) => {
                if !matches!(chance, Chance::Refused) {
                    self.machines.remove(&id);
                }
            }
            Step::CleanUp => self.record.firewall = Firewall::None,
            Step::Forget => self.forgotten = true,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Whatever happens, in the end no machine is there that costs and is not told of, and no state says what is not so.
    #[test]
    fn in_the_end_every_machine_is_accounted_for(chances in chances()) {
        let mut life = Life {
            record: Record {
                since: at(0),
                machine: None,
                sent_at: None,
                firewall: Firewall::None,
                ..record(Creating)
            },
            machines: BTreeMap::new(),
            orders: vec![],
            broken: false,
            now: 0,
            last: 0,
            forgotten: false,
        };
        for chance in chances.into_iter().chain(std::iter::repeat_n(Chance::Nothing, 500)) {
            life.round(chance);
            if life.forgotten {
                break;
            }
        }
        prop_assert!(life.orders.is_empty());
        let there = life.machines.len();
        let known = life.record.machine.is_some_and(|id| life.machines.contains_key(&id));
        match life.record.status {
            Deleting | ErrorDeletion => prop_assert!(life.forgotten && there == 0),
            ErrorCreation | Deprovisioned => prop_assert_eq!(there, 0),
            ErrorProvisioning if life.record.fault == Some(Fault::NoHeartbeat) => {
                prop_assert!(there == 1 && known);
            }
            ErrorProvisioning => prop_assert_eq!(there, 0),
            Active | Unresponsive => prop_assert!(there == 1 && known),
            other => prop_assert!(false, "it stays {}", other),
        }
    }
}
