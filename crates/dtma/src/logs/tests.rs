//! Tails of every length over rotation and pieces, and following.

use std::io::Write as _;

use futures_util::StreamExt as _;
use tokio_util::sync::CancellationToken;

use super::*;

async fn tail(dir: &Path, lines: u32) -> String {
    let stream = read(dir, lines, false, std::future::pending()).unwrap();
    let pieces: Vec<Bytes> = stream.map(Result::unwrap).collect().await;
    String::from_utf8(pieces.concat()).unwrap()
}

#[track_caller]
fn check(rotated: Option<&str>, current: Option<&str>, lines: u32, expected: &str) {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [(ROTATED, rotated), (LOG, current)] {
        if let Some(text) = text {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert_eq!(runtime.block_on(tail(dir.path(), lines)), expected);
}

#[test]
fn tails() {
    check(None, None, 5, "");
    check(None, Some(""), 5, "");
    check(None, Some("a\nb\nc\n"), 0, "");
    check(None, Some("a\nb\nc\n"), 1, "c\n");
    check(None, Some("a\nb\nc\n"), 2, "b\nc\n");
    check(None, Some("a\nb\nc\n"), 3, "a\nb\nc\n");
    check(None, Some("a\nb\nc\n"), 9, "a\nb\nc\n");
    check(None, Some("a\nb\nc"), 1, "c");
    check(None, Some("a\nb\nc"), 2, "b\nc");
    check(None, Some("\n\n\n"), 2, "\n\n");
    check(Some("1\n2\n"), Some("a\nb\n"), 2, "a\nb\n");
    check(Some("1\n2\n"), Some("a\nb\n"), 3, "2\na\nb\n");
    check(Some("1\n2\n"), Some("a\nb\n"), 9, "1\n2\na\nb\n");
    check(Some("1\n2\n"), None, 1, "2\n");
    let long = "x".repeat(3 * PIECE);
    check(None, Some(&format!("a\n{long}\nb\n")), 2, &format!("{long}\nb\n"));
    check(None, Some(&format!("a\n{long}\nb\n")), 3, &format!("a\n{long}\nb\n"));
}

#[tokio::test]
async fn a_link_is_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/etc/passwd", dir.path().join(LOG)).unwrap();
    assert!(read(dir.path(), 5, false, std::future::pending()).is_err());
}

#[tokio::test]
async fn follows_over_a_rotation_until_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let (log, rotated) = (dir.path().join(LOG), dir.path().join(ROTATED));
    let ended = CancellationToken::new();
    let stream = read(dir.path(), 1, true, ended.clone().cancelled_owned()).unwrap();
    let mut stream = std::pin::pin!(stream);
    let mut seen = String::new();
    let mut see = async |text: &str| {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
        while !seen.ends_with(text) {
            let piece = tokio::time::timeout_at(deadline, stream.next()).await;
            let piece = piece.unwrap_or_else(|_| panic!("{text:?} did not come, but {seen:?}"));
            seen.push_str(std::str::from_utf8(&piece.unwrap().unwrap()).unwrap());
        }
    };
    std::fs::write(&log, "one\n").unwrap();
    see("one\n").await;
    let mut file = std::fs::OpenOptions::new().append(true).open(&log).unwrap();
    file.write_all(b"two\n").unwrap();
    see("two\n").await;
    file.write_all(b"three\n").unwrap();
    std::fs::rename(&log, &rotated).unwrap();
    std::fs::write(&log, "four\n").unwrap();
    see("three\nfour\n").await;
    std::fs::OpenOptions::new().append(true).open(&log).unwrap().write_all(b"five\n").unwrap();
    ended.cancel();
    see("five\n").await;
    assert!(stream.next().await.is_none());
    assert_eq!(seen, "one\ntwo\nthree\nfour\nfive\n");
}
