use proptest::prelude::*;

use super::*;

#[test]
fn what_a_failover_can_be() {
    let check = |lease_seconds, lost_after_seconds, heartbeat, expected: Result<(), FailoverError>| {
        let failover = Failover { lease_seconds, lost_after_seconds };
        let found = failover.check(Duration::from_millis(heartbeat)).map(drop);
        assert_eq!(found, expected, "{lease_seconds} {lost_after_seconds} {heartbeat}");
    };
    check(60, 90, 15_000, Ok(()));
    check(45, 55, 15_000, Ok(()));
    check(44, 90, 15_000, Err(FailoverError::LeaseTooShort { least: 45 }));
    check(0, 90, 200, Err(FailoverError::LeaseTooShort { least: 1 }));
    check(60, 69, 15_000, Err(FailoverError::LostTooSoon { lease: 60, least: 70 }));
    check(1000, 1019, 15_000, Err(FailoverError::LostTooSoon { lease: 1000, least: 1020 }));
    check(60, 86_401, 15_000, Err(FailoverError::TooLong));
    check(u64::MAX, u64::MAX, 15_000, Err(FailoverError::TooLong));
    assert_eq!(Failover::default().check(Duration::from_secs(15)), Ok(Failover::default()));
}

const POLICY: Failover = Failover { lease_seconds: 2, lost_after_seconds: 12 };

/// A heartbeat on its way, or its answer.
#[derive(Debug, Clone, Copy)]
enum Way {
    There { sent: u64 },
    Back { sent: u64, granted: bool },
}

#[derive(Debug)]
struct Host {
    /// What its clock says beyond the world's.
    offset: u64,
    boots: u64,
    grants: Grants,
    kept: Option<Grants>,
    has_spec: bool,
    under_way: Option<Way>,
}

/// Two hosts, one instance, one control plane, and everything that can happen between them.
struct World {
    id: InstanceId,
    now: u64,
    hosts: [Host; 2],
    /// The row.
    at: usize,
    beats: [Option<Timestamp>; 2],
    count: i64,
    control_offset: u64,
    silences: [Option<Silence>; 2],
    moves: usize,
}

#[derive(Debug, Clone)]
enum Event {
    Pass(u64),
    Send(usize),
    Deliver(usize),
    Lose(usize),
    RestartHost(usize),
    BootHost(usize),
    RestartControl,
    Look,
}

impl World {
    fn new(offsets: [u64; 3]) -> Self {
        let host = |offset| Host {
            offset,
            boots: 0,
            grants: Grants::at_start(None, "0".to_owned()),
            kept: None,
            has_spec: false,
            under_way: None,
        };
        let mut world = Self {
            id: InstanceId::generate(),
            now: 0,
            hosts: [host(offsets[0]), host(offsets[1])],
            at: 0,
            beats: [None; 2],
            count: 0,
            control_offset: offsets[2],
            silences: [None; 2],
            moves: 0,
        };
        world.hosts[0].has_spec = true;
        world
    }

    fn clock(&self, host: usize) -> u64 {
        self.now + self.hosts[host].offset
    }

    fn take(&mut self, event: &Event) {
        match *event {
            Event::Pass(time) => self.now += time,
            Event::Send(host) => {
                let sent = self.clock(host);
                self.hosts[host].under_way = Some(Way::There { sent });
            }
            Event::Lose(host) => self.hosts[host].under_way = None,
            Event::Deliver(host) => match self.hosts[host].under_way.take() {
                Some(Way::There { sent }) => {
                    self.count += 1;
                    self.beats[host] = Some(Timestamp(self.count));
                    let granted = self.at == host;
                    self.hosts[host].under_way = Some(Way::Back { sent, granted });
                }
                Some(Way::Back { sent, granted }) => {
                    let named = if granted { vec![self.id] } else { Vec::new() };
                    let host = &mut self.hosts[host];
                    host.grants.acknowledge(sent, &named);
                    host.kept = Some(host.grants.clone());
                }
                None => {}
            },
            Event::RestartHost(host) => {
                let host = &mut self.hosts[host];
                host.under_way = None;
                host.grants = Grants::at_start(host.kept.take(), host.boots.to_string());
                host.kept = Some(host.grants.clone());
            }
            Event::BootHost(host) => {
                let now = self.now;
                let host = &mut self.hosts[host];
                host.boots += 1;
                host.under_way = None;
                // Its clock begins anew, so what is on disk would be far in the future.
                host.offset = host.offset.saturating_sub(now) / 2;
                host.grants = Grants::at_start(host.kept.take(), host.boots.to_string());
            }
            Event::RestartControl => {
                self.silences = [None; 2];
                self.control_offset = self.control_offset / 2 + 1;
            }
            Event::Look => self.look(),
        }
    }

    fn look(&mut self) {
        let now = Duration::from_millis(self.now + self.control_offset);
        for host in 0..2 {
            let silence = self.silences[host].get_or_insert(Silence::new(self.beats[host], now));
            let silent = silence.observe(self.beats[host], now);
            if host == self.at && POLICY.lost_after() <= silent {
                self.at = 1 - host;
                self.hosts[self.at].has_spec = true;
                self.moves += 1;
                return;
            }
        }
    }

    /// How many hosts may have it running, the time to stop it included.
    fn holders(&self) -> usize {
        let stop = u64::try_from(STOP.as_millis()).unwrap();
        (0..2)
            .filter(|host| {
                let until = self.hosts[*host].grants.until(self.id, POLICY.lease());
                self.hosts[*host].has_spec && until.is_some_and(|until| self.clock(*host) < until + stop)
            })
            .count()
    }
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (1u64..4000).prop_map(Event::Pass),
        1 => (9000u64..20_000).prop_map(Event::Pass),
        6 => (0usize..2).prop_map(Event::Send),
        9 => (0usize..2).prop_map(Event::Deliver),
        2 => (0usize..2).prop_map(Event::Lose),
        1 => (0usize..2).prop_map(Event::RestartHost),
        1 => (0usize..2).prop_map(Event::BootHost),
        1 => Just(Event::RestartControl),
        5 => Just(Event::Look),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Whatever is lost, late or started again, and wherever the clocks stand.
    #[test]
    fn never_two_holders(
        offsets in [0u64..1_000_000, 0u64..1_000_000, 0u64..1_000_000],
        events in prop::collection::vec(event(), 1..120),
    ) {
        let mut world = World::new(offsets);
        for event in &events {
            world.take(event);
            prop_assert!(world.holders() <= 1, "two after {event:?}");
        }
    }
}

/// The property is about something: the instance does move, and is held on both hosts, one after the other.
#[test]
fn a_silent_host_loses_it_and_a_heard_one_keeps_it() {
    let mut world = World::new([7, 70, 700]);
    let beat = |world: &mut World, host| {
        for event in [Event::Send(host), Event::Deliver(host), Event::Deliver(host), Event::Look] {
            world.take(&event);
        }
    };
    for _ in 0..50 {
        beat(&mut world, 0);
        world.take(&Event::Pass(1000));
        assert_eq!((world.at, world.holders()), (0, 1));
    }
    for _ in 0..13 {
        beat(&mut world, 1);
        world.take(&Event::Pass(1000));
    }
    beat(&mut world, 1);
    assert_eq!((world.at, world.moves, world.holders()), (1, 1, 1));
    beat(&mut world, 0);
    assert_eq!(
        world.hosts[0].grants.until(world.id, POLICY.lease()).map(|until| until < world.clock(0)),
        Some(true)
    );
}
