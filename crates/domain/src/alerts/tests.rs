//! Whatever is seen when: each trouble is told at most once, healed at most once and only after that, never too early, and what
//! stays broken or well is told in the end.

use proptest::prelude::*;

use super::*;
use crate::status::{DiskMetrics, MemoryMetrics};

const SECOND: i64 = 1_000_000;

/// What a store would do, with what was told: `(when, is broken)`.
fn play(sights: &[(u8, Sight)], debounce: Duration) -> (Vec<(i64, bool)>, Option<Trouble>, i64) {
    let (mut told, mut trouble, mut at) = (Vec::new(), None, 0);
    for (seconds, sight) in sights {
        at += i64::from(*seconds) * SECOND;
        match step(trouble, *sight, Timestamp(at), debounce) {
            Step::Nothing => {}
            Step::Remember(now) => trouble = Some(now),
            Step::Tell(now) => {
                told.push((at, true));
                trouble = Some(now);
            }
            Step::Heal => {
                told.push((at, false));
                trouble = None;
            }
            Step::Forget => trouble = None,
        }
    }
    (told, trouble, at)
}

fn sight() -> impl Strategy<Value = Sight> {
    prop_oneof![
        4 => Just(Sight::Broken),
        4 => Just(Sight::Well),
        1 => Just(Sight::Unknown),
        1 => Just(Sight::Gone),
    ]
}

proptest! {
    #[test]
    fn told_once_and_healed_once(sights in prop::collection::vec((1u8..40, sight()), 0..60)) {
        let (told, trouble, _) = play(&sights, DEBOUNCE);
        for (i, (_, is_broken)) in told.iter().enumerate() {
            prop_assert_eq!(*is_broken, i % 2 == 0, "broken and healed take turns: {:?}", &told);
        }
        prop_assert_eq!(trouble.is_some_and(|t| t.told_at.is_some()), told.len() % 2 == 1);
    }

    #[test]
    fn nobody_is_told_too_early(sights in prop::collection::vec((1u8..40, sight()), 0..60)) {
        let debounce = i64::from(u32::try_from(DEBOUNCE.as_secs()).unwrap()) * SECOND;
        let (told, ..) = play(&sights, DEBOUNCE);
        for (when, is_broken) in told {
            let mut at = 0;
            let seen: Vec<(i64, Sight)> =
                sights.iter().map(|(s, sight)| { at += i64::from(*s) * SECOND; (at, *sight) }).collect();
            if is_broken {
                prop_assert!(seen.iter().any(|(t, s)| *s == Sight::Broken && *t <= when - debounce));
                prop_assert!(seen.iter().any(|(t, s)| *s == Sight::Broken && *t == when));
            } else {
                // It is gone, or nothing broken was seen for as long.
                let calm = seen.iter().all(|(t, s)| *s != Sight::Broken || *t <= when - debounce || when < *t);
                prop_assert!(calm || seen.iter().any(|(t, s)| *s == Sight::Gone && *t == when));
            }
        }
    }

    #[test]
    fn what_stays_is_told(sights in prop::collection::vec((1u8..40, sight()), 0..30)) {
        for (stays, expected) in [(Sight::Broken, true), (Sight::Well, false)] {
            let mut longer = sights.clone();
            longer.extend([(1, stays), (30, stays), (40, stays)]);
            let (told, trouble, _) = play(&longer, DEBOUNCE);
            prop_assert_eq!(trouble.is_some(), expected);
            prop_assert_eq!(told.last().is_some_and(|(_, is_broken)| *is_broken), expected);
        }
    }
}

#[test]
fn the_ways_of_a_trouble() {
    use Sight::{Broken, Gone, Unknown, Well};
    let check = |what: &str, sights: &[(u8, Sight)], expected: &[(i64, bool)]| {
        let told: Vec<(i64, bool)> =
            play(sights, DEBOUNCE).0.iter().map(|(at, broken)| (at / SECOND, *broken)).collect();
        assert_eq!(told, expected, "{what}");
    };
    check("a hiccup", &[(0, Broken), (30, Well), (60, Well)], &[]);
    check("it stays", &[(0, Broken), (59, Broken), (1, Broken), (60, Broken)], &[(60, true)]);
    check("starting is no proof", &[(0, Broken), (30, Unknown), (30, Broken)], &[(60, true)]);
    check("it flaps", &[(0, Broken), (40, Well), (20, Broken), (40, Well), (20, Broken)], &[(60, true)]);
    check("it heals", &[(0, Broken), (60, Broken), (5, Well), (60, Well)], &[(60, true), (125, false)]);
    check("not yet", &[(0, Broken), (60, Broken), (5, Well), (59, Well), (1, Broken)], &[(60, true)]);
    check("it goes", &[(0, Broken), (60, Broken), (5, Gone), (5, Gone)], &[(60, true), (65, false)]);
    check("it goes untold", &[(0, Broken), (50, Gone)], &[]);
}

#[test]
fn a_disk_is_full_until_there_is_room() {
    let check = |used: u64, expected: Sight| {
        let disk =
            DiskMetrics { mount: "/".to_owned(), total_bytes: 120, used_bytes: used, free_bytes: 100 - used };
        let memory = MemoryMetrics { total_bytes: 1, active_bytes: 0, free_bytes: 1, used_bytes: 0 };
        let system =
            SystemMetrics { cpu_load_percent: 0.0, cores: 1, memory, disk: Some(disk), uptime_seconds: 1 };
        assert_eq!(room(EnvironmentStatus::Active, Some(&system)), (expected, Some(used)), "{used} %");
        assert_eq!(room(EnvironmentStatus::Unresponsive, Some(&system)).0, Sight::Unknown);
    };
    check(100, Sight::Broken);
    check(92, Sight::Broken);
    check(91, Sight::Unknown);
    check(89, Sight::Unknown);
    check(88, Sight::Well);
    assert_eq!(room(EnvironmentStatus::Active, None), (Sight::Unknown, None));
}

#[test]
fn how_an_instance_is_seen() {
    use crate::status::{EnvironmentStatus as Host, InstanceStatus as Status};
    for (status, host, seen) in [
        (Status::Running, Host::Active, Sight::Well),
        (Status::Asleep, Host::Active, Sight::Well),
        (Status::Stopped, Host::Active, Sight::Well),
        (Status::ErrorRuntime, Host::Active, Sight::Broken),
        (Status::Starting, Host::Active, Sight::Unknown),
        (Status::Asleep, Host::Unresponsive, Sight::Unknown),
    ] {
        assert_eq!(instance(status, host), seen, "{status} {host}");
    }
}
