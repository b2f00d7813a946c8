//! `berth up` as a supervisor: what happens to the others when it is killed, and what a second Ctrl-C does.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;
use testkit::{processes, wait};

use crate::BERTH;

/// `berth up` on a directory, killed when dropped; what it leaves behind is for the test to end.
struct Up(Child);

impl Up {
    fn start(data: &Path) -> Self {
        let child = Command::new(BERTH)
            .args(["up", "--listen", "127.0.0.1:0", "--dtma-listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("`berth up` starts");
        let mut up = Self(child);
        let mut lines = BufReader::new(up.0.stdout.take().expect("it is piped"));
        // The summary comes when `welcome` runs; the pipe stays open, as a terminal would.
        let mut line = String::new();
        while !line.contains("brings it back") {
            line.clear();
            assert!(lines.read_line(&mut line).expect("a line") != 0, "it ended");
        }
        up.0.stdout = Some(lines.into_inner());
        up
    }

    fn below(&self, word: &str) -> u32 {
        wait::until(word, || {
            let all = processes::below(self.0.id());
            all.into_iter().find(|p| p.arguments.get(1).is_some_and(|first| first == word)).map(|p| p.pid)
        })
    }

    fn end(&mut self) -> Option<i32> {
        processes::signal(self.0.id(), Signal::TERM);
        self.0.wait().expect("a child of ours").code()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn a_killed_one_takes_its_processes_along_and_leaves_the_instances_to_the_next() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let data = dir.path().join("data");
    let mut first = Up::start(&data);
    let (server, dtma, shim) = (first.below("server"), first.below("dtma"), first.below("shim"));
    processes::signal(first.0.id(), Signal::KILL);
    first.0.wait().expect("a child of ours");
    wait::until("the end of its processes", || {
        (!processes::is_alive(server) && !processes::is_alive(dtma)).then_some(())
    });
    assert!(processes::is_alive(shim), "an instance outlives its supervisor");

    let mut second = Up::start(&data);
    assert!(processes::is_alive(shim), "it is taken over, not started again");
    assert_eq!(second.end(), Some(0));
    assert!(!processes::is_alive(shim), "SIGTERM ends what was taken over too");
}

#[test]
fn a_second_signal_ends_at_once() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let data = dir.path().join("data");
    let mut up = Up::start(&data);
    let (dtma, shim) = (up.below("dtma"), up.below("shim"));
    // A DTMA that does not answer: the first signal would have to wait for it.
    processes::signal(dtma, Signal::STOP);
    processes::signal(up.0.id(), Signal::INT);
    processes::signal(up.0.id(), Signal::TERM);
    assert_eq!(up.0.wait().expect("a child of ours").code(), Some(1));
    assert!(!processes::is_alive(dtma));
    assert!(processes::is_alive(shim), "it says that instances may still run");

    let mut next = Up::start(&data);
    assert_eq!(next.end(), Some(0));
    assert!(!processes::is_alive(shim));
}

#[test]
fn whoever_stops_reading_has_got_what_was_wanted() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let data = dir.path().join("data");
    let mut up = Up::start(&data);
    let mut list = Command::new(BERTH)
        .args(["list", "--json", "--data"])
        .arg(&data)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("`berth` starts");
    drop(list.stdout.take());
    let output = list.wait_with_output().expect("a child of ours");
    assert_eq!((output.status.code(), &*output.stderr), (Some(0), &b""[..]));
    assert_eq!(up.end(), Some(0));
}
