//! Fault schedules: each part of Berth and of the engine below it is killed at random moments of everything that is done
//! with an instance, and after each kill all must be as it is wanted, without anybody's help.
//!
//! A schedule is some of that at once, and one or two victims; the seed says which, so a failing one can be run again:
//! `BERTH_SEED=… BERTH_SCHEDULE=…`. `BERTH_SCHEDULES` is how many there are; `cargo xtask test --full` asks for 200.

#![expect(clippy::print_stderr, reason = "a random test says what it does, so that it can be done again")]

mod acts;
mod invariants;
mod plan;
mod stage;
mod victims;

use std::fmt::Display;
use std::str::FromStr;
use std::time::Instant;

use testkit::docker::engine;

use self::plan::Schedule;
use self::stage::Stage;

/// How many schedules there are when nobody says otherwise: every part at every moment, and some more.
const SCHEDULES: usize = 15;
/// The seed when nobody names one: a change is judged by the schedules that the one before passed. `--full` takes a new one each
/// time.
const SEED: u64 = 20_261_128;

/// A number in the environment; one that is none is a mistake to be told.
fn number<T: FromStr<Err: Display>>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|error| panic!("{name} is `{text}`: {error}")))
}

/// Prints what to do when the test fails in the middle of a step.
struct Announced(String);

impl Drop for Announced {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed in {}", self.0);
        }
    }
}

#[test]
fn whatever_is_killed_whenever_all_is_as_wanted_afterwards() {
    let seed = number("BERTH_SEED").unwrap_or(SEED);
    let count = number("BERTH_SCHEDULES").unwrap_or(SCHEDULES);
    let only = number("BERTH_SCHEDULE");
    eprintln!("BERTH_SEED={seed}, {count} schedules");
    let docker = engine();
    // The first half with everything in containers, the second with images alone.
    let halves = [("docker", 0..count.div_ceil(2)), ("auto", count.div_ceil(2)..count)];
    for (runtime, mut numbers) in halves {
        if only.is_some_and(|only| !numbers.contains(&only)) {
            continue;
        }
        let mut stage = Stage::set(docker, runtime);
        if let Some(only) = only {
            numbers = only..only + 1;
        }
        for number in numbers {
            let schedule = Schedule::new(seed, number);
            let words = format!("BERTH_SEED={seed} BERTH_SCHEDULE={number}: {runtime}, {schedule:?}");
            let announced = Announced(words.clone());
            let begun = Instant::now();
            let met = acts::perform(&mut stage, &schedule, number);
            let (seconds, acts) = (begun.elapsed().as_secs_f32(), schedule.acts.len());
            eprintln!("{seconds:>5.1} s, {met} of {acts} moments met: {words}");
            drop(announced);
        }
        stage.strike();
    }
}

#[test]
fn a_host_that_lost_its_power_comes_back_with_everything() {
    let mut stage = Stage::set(engine(), "docker");
    stage.crash();
    stage.settle();
    stage.strike();
}
