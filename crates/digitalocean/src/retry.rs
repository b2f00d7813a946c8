//! Whether and when a request is sent again: no I/O and no clock, so that tables can test it.
//!
//! What may be repeated: a request that was not carried out for certain (refused by a rate limit, or never sent), and
//! any that asks the same thing however often it is sent. A creation whose answer was lost is neither.

use std::time::Duration;

/// The longest single wait between tries after a fault.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// How often a request is sent at most. Waits for a rate limit count too, so that nothing goes on for ever.
const MOST_TRIES: u32 = 8;
/// With fewer requests left than this, they are spread out.
const RESERVE: u64 = 10;
/// How far apart requests are then.
const SPREAD: Duration = Duration::from_secs(1);

/// Whether a request may be carried out twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Twice is as good as once: reading, replacing, deleting.
    Repeatable,
    /// Each time is something new.
    Once,
}

/// What came of one try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nothing was sent: the provider was not reached.
    NotSent,
    /// It was sent, and no usable answer came.
    Lost,
    /// A status.
    Answered(u16),
}

/// What an answer's headers say of the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Limit {
    /// `ratelimit-remaining`: requests left.
    pub(crate) remaining: Option<u64>,
    /// `ratelimit-reset`, from now on: when the oldest request no longer counts.
    pub(crate) reset_in: Option<Duration>,
    /// `retry-after`: only with the limit on bursts.
    pub(crate) retry_after: Option<Duration>,
}

impl Limit {
    /// From the values of the headers; `now` is in seconds since 1970. What cannot be read is as if it were not there.
    pub(crate) fn read<'a>(header: impl Fn(&str) -> Option<&'a str>, now: u64) -> Self {
        let number = |name| header(name).and_then(|value| value.trim().parse::<u64>().ok());
        Self {
            remaining: number("ratelimit-remaining"),
            reset_in: number("ratelimit-reset").map(|at| Duration::from_secs(at.saturating_sub(now))),
            retry_after: number("retry-after").map(Duration::from_secs),
        }
    }

    /// How long to wait after a 429.
    fn wait(&self) -> Option<Duration> {
        self.retry_after.or(self.reset_in)
    }

    /// How long the next request, whichever it is, should wait.
    pub(crate) fn pause(&self) -> Duration {
        match self.remaining {
            // The limit on bursts says so too, with `retry-after`.
            Some(0) => self.wait().unwrap_or(SPREAD),
            Some(few) if few < RESERVE => SPREAD,
            _ => Duration::ZERO,
        }
    }
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The answer is the answer, good or bad.
    Take,
    /// Wait, then send it again.
    Again(Duration),
    /// It could be sent again, but not in time.
    GiveUp,
}

/// The tries of one request.
#[derive(Debug)]
pub(crate) struct Tries {
    effect: Effect,
    first_wait: Duration,
    give_up_after: Duration,
    made: u32,
}

impl Tries {
    pub(crate) fn new(effect: Effect, first_wait: Duration, give_up_after: Duration) -> Self {
        Self { effect, first_wait, give_up_after, made: 0 }
    }

    /// After one more try. `elapsed` is the time since the first began, `dice` in `0.0..1.0` spreads callers.
    pub(crate) fn after(&mut self, outcome: Outcome, limit: &Limit, elapsed: Duration, dice: f64) -> Step {
        self.made = self.made.saturating_add(1);
        let wait = match outcome {
            // A 429 was not carried out. Everybody waits for the same moment, so the spread comes on top.
            Outcome::Answered(429) => limit.wait().unwrap_or(Duration::ZERO) + self.backoff(dice),
            Outcome::NotSent => self.backoff(dice),
            Outcome::Lost | Outcome::Answered(500..) if self.effect == Effect::Repeatable => {
                limit.retry_after.unwrap_or(Duration::ZERO).max(self.backoff(dice))
            }
            Outcome::Lost | Outcome::Answered(_) => return Step::Take,
        };
        if MOST_TRIES <= self.made || self.give_up_after < elapsed.saturating_add(wait) {
            Step::GiveUp
        } else {
            Step::Again(wait)
        }
    }

    /// Doubling, between half and all of it.
    fn backoff(&self, dice: f64) -> Duration {
        let doublings = self.made.saturating_sub(1).min(16);
        let full = self.first_wait.saturating_mul(1 << doublings).min(LONGEST_WAIT);
        full.mul_f64(0.5 + dice.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    /// The steps of a request that meets `outcomes` one after the other, each wait being waited.
    #[track_caller]
    fn check(effect: Effect, limit: Limit, outcomes: &[Outcome], expected: &[Step]) {
        let mut tries = Tries::new(effect, SECOND, seconds(100));
        let mut elapsed = Duration::ZERO;
        let steps: Vec<Step> = outcomes
            .iter()
            .map(|&outcome| {
                let step = tries.after(outcome, &limit, elapsed, 1.0);
                if let Step::Again(wait) = step {
                    elapsed += wait;
                }
                step
            })
            .collect();
        assert_eq!(steps, expected, "{effect:?} {outcomes:?}");
    }

    #[test]
    fn what_is_sent_again() {
        use Effect::{Once, Repeatable};
        use Outcome::{Answered, Lost, NotSent};
        use Step::{Again, GiveUp, Take};
        let free = Limit::default();
        let again = |n| Again(seconds(n));

        // An answer is an answer.
        for status in [200, 202, 204, 400, 401, 403, 404, 409, 422] {
            check(Repeatable, free, &[Answered(status)], &[Take]);
            check(Once, free, &[Answered(status)], &[Take]);
        }
        // A creation is repeated only where it did not happen.
        for outcome in [Lost, Answered(500), Answered(502), Answered(503), Answered(504)] {
            check(Once, free, &[outcome], &[Take]);
            check(Repeatable, free, &[outcome; 3], &[again(1), again(2), again(4)]);
        }
        check(Once, free, &[NotSent, NotSent, Answered(202)], &[again(1), again(2), Take]);
        check(Once, free, &[NotSent, Lost], &[again(1), Take]);

        // A rate limit is waited for, as long as there is time.
        let burst = Limit { retry_after: Some(seconds(29)), ..free };
        check(Once, burst, &[Answered(429), Answered(202)], &[again(30), Take]);
        check(Repeatable, burst, &[Answered(429); 4], &[again(30), again(31), again(33), GiveUp]);
        let hour = Limit { remaining: Some(0), reset_in: Some(seconds(3000)), retry_after: None };
        check(Repeatable, hour, &[Answered(429)], &[GiveUp]);
        let soon = Limit { reset_in: Some(seconds(7)), ..hour };
        check(Once, soon, &[Answered(429)], &[again(8)]);
        check(Once, free, &[Answered(429)], &[again(1)]);
        // A server that says when it is back is believed, unless that is sooner than we would come.
        check(Repeatable, burst, &[Answered(503)], &[again(29)]);
        // Not for ever: 1+2+4+8+16+30+30 is 91, and the eighth was the last.
        let eight = [again(1), again(2), again(4), again(8), again(16), again(30), again(30), GiveUp];
        check(Repeatable, free, &[Lost; 8], &eight);
    }

    #[test]
    fn waits_are_spread() {
        for (dice, expected) in [(0.0, 500), (0.5, 750), (1.0, 1000), (7.0, 1000), (-1.0, 500)] {
            let mut tries = Tries::new(Effect::Repeatable, SECOND, seconds(100));
            let step = tries.after(Outcome::Lost, &Limit::default(), Duration::ZERO, dice);
            assert_eq!(step, Step::Again(Duration::from_millis(expected)), "{dice}");
        }
    }

    #[test]
    fn few_requests_left_are_spread_out() {
        let check = |headers: &[(&str, &str)], expected: Duration| {
            let header =
                |name: &str| headers.iter().find(|(known, _)| *known == name).map(|&(_, value)| value);
            assert_eq!(Limit::read(header, 1000).pause(), expected, "{headers:?}");
        };
        check(&[], Duration::ZERO);
        check(&[("ratelimit-remaining", "4999"), ("ratelimit-reset", "1900")], Duration::ZERO);
        check(&[("ratelimit-remaining", "10")], Duration::ZERO);
        check(&[("ratelimit-remaining", "9"), ("ratelimit-reset", "1900")], SPREAD);
        check(&[("ratelimit-remaining", "0"), ("ratelimit-reset", "1900")], seconds(900));
        check(&[("ratelimit-remaining", "0"), ("ratelimit-reset", "999")], Duration::ZERO);
        check(
            &[("ratelimit-remaining", "0"), ("ratelimit-reset", "1900"), ("retry-after", "29")],
            seconds(29),
        );
        check(&[("ratelimit-remaining", "0")], SPREAD);
        check(&[("ratelimit-remaining", "many"), ("retry-after", "soon")], Duration::ZERO);
    }
}
