//! What is killed when: numbers that follow from a seed, and nothing else.

use std::time::Duration;

use soak::random::Random;

/// What can be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Victim {
    /// The process of the MCP server or tool.
    Server,
    /// The shim above it: the first process of a container.
    Shim,
    Dtma,
    Containerd,
    Dockerd,
    ControlPlane,
}

/// When it is killed: in the middle of what is done with an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    Pull,
    Create,
    Start,
    Probe,
    Call,
    Stop,
    Remove,
}

/// What the instance is that it is done with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// An image that speaks on standard input and output.
    Stdio,
    /// An image that serves HTTP.
    Http,
    /// A program of this machine.
    File,
    /// An image that speaks no MCP, with a volume and a port.
    Tool,
}

pub(super) const PARTS: [Victim; 6] =
    [Victim::Server, Victim::Shim, Victim::Dtma, Victim::Containerd, Victim::Dockerd, Victim::ControlPlane];
const MOMENTS: [Moment; 7] =
    [Moment::Pull, Moment::Create, Moment::Start, Moment::Probe, Moment::Call, Moment::Stop, Moment::Remove];
const KINDS: [Kind; 4] = [Kind::Stdio, Kind::Http, Kind::File, Kind::Tool];
/// The moments are dealt to two schedules of each part.
const FIRST_HAND: usize = 4;

/// One thing that is done with an instance.
#[derive(Debug, Clone)]
pub(super) struct Act {
    pub(super) kind: Kind,
    pub(super) moment: Moment,
    /// How long after the moment began the victim is killed.
    pub(super) after: Duration,
}

/// What is done at once, and who dies meanwhile.
#[derive(Debug, Clone)]
pub(super) struct Schedule {
    pub(super) victim: Victim,
    /// Another one, so much later.
    pub(super) second: Option<(Victim, Duration)>,
    pub(super) acts: Vec<Act>,
}

impl Schedule {
    /// The schedule of this number. Twelve from a multiple of twelve on kill every part at every moment.
    pub(super) fn new(seed: u64, number: usize) -> Self {
        let hands = 2 * PARTS.len();
        let mut random = Random::new(seed.wrapping_add((number / hands) as u64));
        let mut dealt: Vec<(Victim, Vec<Moment>)> = vec![];
        for part in PARTS {
            let moments = shuffled(&mut random, &MOMENTS);
            let (first, second) = moments.split_at(FIRST_HAND);
            dealt.extend([(part, first.to_vec()), (part, second.to_vec())]);
        }
        let (victim, moments) = shuffled(&mut random, &dealt).swap_remove(number % hands);

        let mut random = Random::new(seed.wrapping_mul(31).wrapping_add(number as u64));
        let acts = moments.into_iter().map(|moment| Act::new(moment, &mut random)).collect();
        let second = one_of(&mut random, &PARTS);
        let later = Duration::from_millis(random.below(2) * random.below(1000));
        let is_other = second != victim;
        let second = (random.below(3) == 0 && is_other).then_some((second, later));
        Self { victim, second, acts }
    }

    /// Whoever dies.
    pub(super) fn victims(&self) -> impl Iterator<Item = Victim> {
        [self.victim].into_iter().chain(self.second.map(|(second, _)| second))
    }
}

impl Act {
    fn new(moment: Moment, random: &mut Random) -> Self {
        let kind = match (moment, one_of(random, &KINDS)) {
            // What lies on this machine is not pulled.
            (Moment::Pull, Kind::File) => Kind::Stdio,
            (_, kind) => kind,
        };
        let longest = match moment {
            Moment::Pull => 1500,
            Moment::Create => 100,
            Moment::Start => 300,
            Moment::Probe => 200,
            Moment::Call | Moment::Stop | Moment::Remove => 500,
        };
        Self { kind, moment, after: Duration::from_millis(random.below(longest)) }
    }
}

fn shuffled<T: Clone>(random: &mut Random, all: &[T]) -> Vec<T> {
    let mut all = all.to_vec();
    for i in (1..all.len()).rev() {
        all.swap(i, below(random, i + 1));
    }
    all
}

fn one_of<T: Copy>(random: &mut Random, all: &[T]) -> T {
    all[below(random, all.len())]
}

fn below(random: &mut Random, limit: usize) -> usize {
    usize::try_from(random.below(limit as u64)).expect("less than a `usize`")
}

#[test]
fn every_part_is_killed_at_every_moment() {
    for seed in 0..20 {
        let schedules: Vec<Schedule> = (0..12).map(|number| Schedule::new(seed, number)).collect();
        for part in PARTS {
            for moment in MOMENTS {
                let mut of_part = schedules.iter().filter(|schedule| schedule.victim == part);
                assert!(
                    of_part.any(|schedule| schedule.acts.iter().any(|act| act.moment == moment)),
                    "{seed}: {part:?} at {moment:?}"
                );
            }
        }
    }
}
