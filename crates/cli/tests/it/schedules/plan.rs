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
/// Steps of a schedule.
const STEPS: usize = 3;

/// One thing that is done, and who dies meanwhile.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) kind: Kind,
    pub(super) moment: Moment,
    pub(super) victim: Victim,
    /// After the moment began.
    pub(super) after: Duration,
    /// Another one, so much later.
    pub(super) second: Option<(Victim, Duration)>,
}

/// What is done one after another.
pub(super) struct Schedule {
    pub(super) steps: Vec<Step>,
}

impl Schedule {
    /// The schedule of this number. Fourteen in a row kill every part at every moment.
    pub(super) fn new(seed: u64, number: usize) -> Self {
        let step = |nth: usize| {
            let pairs = PARTS.len() * MOMENTS.len();
            let (victim, moment) = shuffled(seed.wrapping_add((nth / pairs) as u64))[nth % pairs];
            let mut random = Random::new(seed.wrapping_mul(31).wrapping_add(nth as u64));
            let kind = match (moment, one_of(&mut random, &KINDS)) {
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
            let after = Duration::from_millis(random.below(longest));
            let second = one_of(&mut random, &PARTS);
            let later = Duration::from_millis(random.below(2) * random.below(1000));
            let second = (random.below(3) == 0 && second != victim).then_some((second, later));
            Step { kind, moment, victim, after, second }
        };
        Self { steps: (number * STEPS..(number + 1) * STEPS).map(step).collect() }
    }
}

/// Every part with every moment.
fn shuffled(seed: u64) -> Vec<(Victim, Moment)> {
    let mut pairs: Vec<_> =
        PARTS.iter().flat_map(|part| MOMENTS.iter().map(|moment| (*part, *moment))).collect();
    let mut random = Random::new(seed);
    for i in (1..pairs.len()).rev() {
        pairs.swap(i, below(&mut random, i + 1));
    }
    pairs
}

fn one_of<T: Copy>(random: &mut Random, all: &[T]) -> T {
    all[below(random, all.len())]
}

fn below(random: &mut Random, limit: usize) -> usize {
    usize::try_from(random.below(limit as u64)).expect("less than a `usize`")
}

#[test]
fn fifteen_schedules_kill_every_part_at_every_moment() {
    for seed in 0..20 {
        let steps: Vec<Step> = (0..14).flat_map(|number| Schedule::new(seed, number).steps).collect();
        for part in PARTS {
            for moment in MOMENTS {
                assert!(
                    steps.iter().any(|step| step.victim == part && step.moment == moment),
                    "{seed}: {part:?} at {moment:?}"
                );
            }
        }
    }
}
