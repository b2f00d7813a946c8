//! Pieces of a binary, in whatever order they come.

use super::*;

fn sha256(content: &[u8]) -> ProgramDigest {
    let digits: Vec<String> = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
    digits.concat().parse().unwrap()
}

#[tokio::test]
async fn a_binary_comes_in_pieces_and_only_as_what_was_announced() {
    let dir = tempfile::tempdir().unwrap();
    let own = dir.path().join(format!("sha256-{}", sha256(b"own"))).join("berth");
    let upgrades = Upgrades::new(dir.path(), Some(own));
    assert_eq!(upgrades.program(), Some(sha256(b"own")));
    let (content, size) = (b"the whole binary", 16);
    let check = async |digest: &ProgramDigest,
                       offset: u64,
                       piece: &'static [u8],
                       expected: Result<(u64, bool), &str>| {
        let query = PieceQuery { offset, size };
        let found = upgrades.take(digest.clone(), query, Bytes::from_static(piece)).await;
        let found = found.map(|now| (now.received, now.is_complete)).map_err(|error| error.to_string());
        match expected {
            Ok(expected) => assert_eq!(found, Ok(expected)),
            Err(words) => assert!(found.clone().unwrap_err().contains(words), "{found:?}"),
        }
    };
    let digest = sha256(content);
    check(&digest, 0, b"", Ok((0, false))).await;
    check(&digest, 0, b"the whole", Ok((9, false))).await;
    // Once more, as after an answer that was lost; one that leaves a gap.
    check(&digest, 0, b"the whole", Ok((9, false))).await;
    check(&digest, 12, b"nary", Ok((9, false))).await;
    check(&digest, 9, b" binary, and more", Err("at most")).await;
    check(&digest, 9, b" binary", Ok((16, true))).await;
    check(&digest, 0, b"", Ok((16, true))).await;
    let path = upgrades.path(&digest);
    assert_eq!(fs::read(&path).unwrap(), content);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o755);

    // Another takes its place; one that is not what it is called is forgotten, and can be sent again.
    let other = sha256(b"another binary..");
    check(&other, 0, b"another binary!!", Err("another binary: its SHA-256 is")).await;
    assert!(!path.exists(), "what was sent before is no longer wanted");
    check(&other, 0, b"another binary..", Ok((16, true))).await;

    let missing = UpgradeRequest { program: digest.clone(), attempt: domain::ids::UpgradeId::generate() };
    assert!(matches!(upgrades.begin(missing).await, Err(UpgradeError::NotHere)));
    assert_eq!(upgrades.view(), UpgradeView::default());
    let none = Upgrades::new(dir.path(), None);
    let refused = none.take(digest, PieceQuery { offset: 0, size }, Bytes::new()).await;
    assert!(matches!(refused, Err(UpgradeError::NoService)) && none.program().is_none());
}
