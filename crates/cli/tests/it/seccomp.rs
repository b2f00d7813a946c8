//! Which system calls a container's server may make: the engine's own filter and, under `strict`, the sandbox's on top.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;

use testkit::docker::engine;
use testkit::platform::Platform;
use testkit::wait;

use crate::BERTH;
use crate::conformance::fixture;

/// Tries each call in a process of its own, on a child of its own, and writes what came of it.
const ATTEMPTS: &str = r#"#!/usr/bin/python3
import ctypes, os, signal, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
amd64 = os.uname().machine == "x86_64"
child = os.fork()
if child == 0:
    signal.pause()
    os._exit(0)
numbers = {
    "ptrace": (101 if amd64 else 117, 0x4206, child, 0, 0),
    "process_vm_readv": (310 if amd64 else 270, child, 0, 0, 0, 0, 0),
    "kcmp": (312 if amd64 else 272, os.getpid(), os.getpid(), 1, 0, 0),
    "unshare a user namespace": (272 if amd64 else 97, 0x10000000),
    "keyctl": (250 if amd64 else 219, 0, -3, 0),
    "open_by_handle_at": (304 if amd64 else 265, -1, 0, 0),
    "getpid": (39 if amd64 else 172,),
}
with open(os.environ["HOME"] + "/attempts.new", "w") as file:
    for name, (number, *arguments) in numbers.items():
        reader, writer = os.pipe()
        if os.fork() == 0:
            result = libc.syscall(number, *[ctypes.c_long(a) for a in arguments])
            os.write(writer, str(0 if result != -1 else ctypes.get_errno()).encode())
            os._exit(0)
        os.wait()
        file.write(f"{name}={os.read(reader, 16).decode()}\n")
os.kill(child, signal.SIGKILL)
os.rename(os.environ["HOME"] + "/attempts.new", os.environ["HOME"] + "/attempts")
os.execv(os.path.dirname(sys.argv[0]) + "/fixture", ["fixture"])
"#;
const EPERM: &str = "1";

#[test]
fn strict_refuses_what_attacks_begin_with() {
    let docker = engine();
    let directory = tempfile::tempdir().expect("a directory");
    let server = directory.path().join("attempts");
    std::fs::create_dir(&server).expect("a directory");
    std::fs::copy(fixture(), server.join("fixture")).expect("a copy");
    std::fs::write(server.join("attempts"), ATTEMPTS).expect("a script");
    let executable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(server.join("attempts"), executable).expect("a script");
    let platform = Platform::start_in(BERTH, &["--runtime", "docker"], &[("DOCKER_HOST", &docker.host())]);
    let attempts = |profile: &str| -> BTreeMap<String, String> {
        let file = format!("file:{}", server.display());
        let deploy = ["deploy", &file, "--name", profile, "--profile", profile, "--mode", "shared", "--wait"];
        platform.ok(&deploy);
        let answer = platform.ok(&["call", profile, "test_simple_text"]);
        assert!(answer.contains("simple text response"), "{profile}: {answer}");
        let id = platform.instance(profile).expect("it is there")["id"].as_str().expect("an id").to_owned();
        let path = platform.data().join("dtma/instances").join(id).join("work/attempts");
        let text = wait::until("its attempts", || std::fs::read_to_string(&path).ok());
        text.lines()
            .filter_map(|line| line.split_once('='))
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .collect()
    };
    let (strict, standard) = (attempts("strict"), attempts("standard"));
    // What the engine alone lets through is a real attempt.
    assert_eq!(standard["ptrace"], "0", "under the engine's own filter: {standard:?}");
    for (name, outcome) in &strict {
        let expected = if name == "getpid" { "0" } else { EPERM };
        assert_eq!(outcome, expected, "{name}: {strict:?}");
    }
}
