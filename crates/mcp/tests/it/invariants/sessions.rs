//! Any text as a session's id, and as the file of those that were ended.

use mcp::client::Capabilities;
use mcp::revision::Revision;
use mcp::session::{Begin, Ended, RANDOM, Sealer, Session, SessionId};

const NOW: u64 = 1_800_000_000;
const BEGIN: Begin = Begin {
    revision: Revision::V2025_11_25,
    is_sse: false,
    can: Capabilities::of_bits(9),
    hello: 0x1234_5678_9abc_def0,
};

/// A first byte of `~`: the rest changes a good id, byte by byte. Otherwise the text is an id and a file of ended ones.
pub(crate) fn sessions(data: &[u8]) {
    let sealer = Sealer::new("key", 7);
    let (session, good) = sealer.begin([5; RANDOM], "user:a", BEGIN, NOW);
    if let Some(changes) = data.strip_prefix(b"~") {
        let mut changed = good.clone().into_bytes();
        changed.iter_mut().zip(changes).for_each(|(byte, change)| *byte ^= change);
        changed.extend(changes.iter().skip(good.len()));
        let changed = String::from_utf8_lossy(&changed);
        let expected = (changed == good).then_some(session);
        assert_eq!(sealer.open(&changed, "user:a", NOW), expected, "{changed}");
        assert_eq!(sealer.open(&changed, "user:b", NOW), None);
        assert_eq!(sealer.open(&changed, "user:a", session.until), None);
        return;
    }
    let text = String::from_utf8_lossy(data);
    assert_eq!(sealer.open(&text, "user:a", NOW), (text == good).then_some(session));
    ended(&text);
}

/// What is read is kept, and can be read again with the same outcome, also when it is there twice or a line is cut off.
fn ended(text: &str) {
    let read = Ended::read(text, NOW);
    let kept = read.lines();
    for again in
        [kept.clone(), format!("{kept}{kept}"), format!("{kept}{text}"), format!("{kept}1800000001 ")]
    {
        assert_eq!(Ended::read(&again, NOW).lines(), kept);
    }
    let session = |until: u64, id: u128| Session {
        id: SessionId::of_random(id.to_be_bytes()),
        revision: Revision::V2025_11_25,
        is_sse: false,
        can: Capabilities::default(),
        hello: 0,
        until,
    };
    let mut floor = 0;
    for (until, id) in kept.lines().map(|line| line.split_once(' ').expect("two words a line")) {
        let until = until.parse().expect("a number");
        if id == "all" {
            floor = until;
        } else {
            let one = session(until, u128::from_str_radix(id, 16).expect("an id"));
            assert!(NOW < until && read.has(&one));
            assert!(Ended::read(&Ended::line(&one), NOW).has(&one));
        }
    }
    assert!(read.has(&session(floor, 1)));
    let other = session(floor.saturating_add(1), 0x5eed_0000_0000_0001);
    assert_eq!(
        read.has(&other),
        floor == u64::MAX || kept.split_inclusive('\n').any(|line| line == Ended::line(&other))
    );
}
