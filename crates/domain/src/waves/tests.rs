//! Waves keep their order whatever becomes of hosts, and end.

use proptest::prelude::*;

use super::*;

#[test]
fn waves_are_read_and_given_out() {
    let check = |waves: &str, hosts: usize, expected: &[usize]| {
        let waves: Vec<Wave> = waves.split(',').map(|wave| wave.parse().unwrap()).collect();
        assert_eq!(assign(&waves, hosts), expected, "{waves:?} of {hosts}");
    };
    check("1,25%,100%", 8, &[0, 1, 2, 2, 2, 2, 2, 2]);
    check("1,25%,100%", 2, &[0, 2]);
    check("1,50%", 4, &[0, 1, 2, 2]);
    check("1%", 3, &[0, 1, 1]);
    check("100%", 3, &[0, 0, 0]);
    check("5", 3, &[0, 0, 0]);
    check("1", 0, &[]);
    for wrong in ["", "0", "0%", "101%", "-1", "x", "1.5", "%"] {
        assert_eq!(wrong.parse::<Wave>(), Err(WaveError), "{wrong}");
    }
}

proptest! {
    #[test]
    fn no_wave_begins_before_those_before_it_are_done(
        hosts in 0usize..12,
        waves in prop::collection::vec(prop_oneof![(1usize..6).prop_map(Wave::Hosts), (1usize..=100).prop_map(Wave::Percent)], 0..4),
        // Which of those under way ends next, and whether well.
        ends in prop::collection::vec((0usize..12, prop::bool::weighted(0.9)), 200),
    ) {
        let mut state: Vec<(usize, HostState)> =
            assign(&waves, hosts).into_iter().map(|wave| (wave, HostState::Waiting)).collect();
        let mut ends = ends.into_iter();
        for _ in 0..100 {
            let has_failed = state.iter().any(|(_, state)| *state == HostState::Failed);
            match next(&state) {
                Next::Begin(places) => {
                    prop_assert!(!has_failed && !places.is_empty());
                    for place in places {
                        let (wave, before) = state[place];
                        prop_assert_eq!(before, HostState::Waiting);
                        prop_assert!(state.iter().all(|(other, is)| wave <= *other || *is == HostState::Done));
                        state[place].1 = HostState::Started;
                    }
                }
                Next::Wait => {
                    let under_way: Vec<usize> =
                        (0..state.len()).filter(|place| state[*place].1 == HostState::Started).collect();
                    prop_assert!(!under_way.is_empty(), "it waits for nothing: {:?}", &state);
                    let (which, is_well) = ends.next().unwrap();
                    state[under_way[which % under_way.len()]].1 = if is_well { HostState::Done } else { HostState::Failed };
                }
                Next::Done => {
                    prop_assert!(state.iter().all(|(_, state)| *state == HostState::Done));
                    return Ok(());
                }
                Next::Stopped => {
                    prop_assert!(has_failed);
                    return Ok(());
                }
            }
        }
        prop_assert!(false, "it does not end: {:?}", &state);
    }
}
