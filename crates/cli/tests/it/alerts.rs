//! Who is told of what is broken, typed on the command line.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use testkit::platform::Platform;
use testkit::smtp::Smtp;
use testkit::{ports, processes, wait};

use crate::BERTH;

const TO: &str = "ops@example.com";

/// A web hook that takes everything: where it is, and the bodies.
fn hook() -> (String, Arc<Mutex<Vec<Value>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hidden", listener.local_addr().unwrap());
    let taken: Arc<Mutex<Vec<Value>>> = Arc::default();
    let into = Arc::clone(&taken);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, mut said) = (stream.unwrap(), Vec::new());
            let body = loop {
                let mut part = [0; 4096];
                let read = stream.read(&mut part).unwrap();
                said.extend_from_slice(&part[..read]);
                let text = String::from_utf8_lossy(&said).into_owned();
                let body = text.split_once("\r\n\r\n").and_then(|(_, body)| serde_json::from_str(body).ok());
                if let Some(body) = body {
                    break body;
                }
                assert!(0 < read, "half a request: {text}");
            };
            into.lock().unwrap().push(body);
            stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").unwrap();
        }
    });
    (url, taken)
}

#[test]
fn what_is_broken_is_told_by_web_hook_and_mail_and_shown() {
    let (url, taken) = hook();
    let files = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = files.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, tls_key) =
        (file("cert.pem", &key.cert.pem()), file("key.pem", &key.signing_key.serialize_pem()));
    let (password, secret) =
        (file("password", "smtp-hidden-password\n"), file("secret", "0123456789abcdef-hidden-key\n"));
    let mail = SocketAddr::from(([127, 0, 0, 1], ports::free()));
    let smtp = Smtp::start(mail, Some((&certificate, &tls_key)));
    let server = format!("smtps://berth@localhost:{}", mail.port());
    let arguments = [
        ["--heartbeat-ms", "200"],
        ["--alert-webhook", &url],
        ["--alert-secret-file", secret.to_str().unwrap()],
        ["--alert-email", TO],
        ["--alert-from", "berth@example.com"],
        ["--smtp", &server],
        ["--smtp-password-file", password.to_str().unwrap()],
        ["--alert-after", "1"],
    ]
    .concat();
    let platform = Platform::start_in(BERTH, &arguments, &[("SSL_CERT_FILE", certificate.to_str().unwrap())]);
    let none = platform.run(&["alerts"]);
    assert!(String::from_utf8_lossy(&none.stderr).contains("nothing is broken"), "{none:?}");

    // The mail server listens a moment after it was started.
    let tested = wait::until("both to be reached", || {
        let output = platform.run(&["alerts", "test", "--json"]);
        output.status.success().then(|| serde_json::from_slice::<Value>(&output.stdout).unwrap())
    });
    assert_eq!((&tested[1]["receiver"], tested.as_array().unwrap().len()), (&TO.into(), 2), "{tested}");
    let tests = taken.lock().unwrap().len();

    let program = file("broken", "#!/bin/sh\nexit 3\n");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    platform.ok(&["deploy", &format!("file:{}", program.display()), "--name", "broken"]);
    let of = |what: &str| {
        let taken = taken.lock().unwrap();
        taken[tests..].iter().filter(|body| body["type"] == what).cloned().collect::<Vec<_>>()
    };
    let told = wait::until("the web hook to be told", || of("alert.broken").pop());
    assert_eq!(
        (&told["data"]["subject"]["name"], &told["data"]["environment"]),
        (&"broken".into(), &"local".into())
    );
    let shown = platform.json(&["alerts"]);
    assert_eq!(
        (&shown[0]["kind"], &shown[0]["subject"]),
        (&"instance_failed".into(), &"broken".into()),
        "{shown}"
    );
    assert!(platform.ok(&["alerts"]).contains("instance `broken` in environment `local`"));

    // It is said once, whoever ends meanwhile; only what was taken and not noted yet would be said again.
    wait::until("both to have taken it", || {
        (platform.json(&["alerts"])[0]["undelivered"] == 0).then_some(())
    });
    processes::kill(platform.own("server"));
    platform.ok(&["remove", "broken", "--yes"]);
    let over = wait::until("it to be over", || of("alert.healed").pop());
    assert_eq!(over["data"]["subject"]["name"], "broken");
    let letters = wait::until("the letters", || {
        let letters: Vec<String> =
            smtp.subjects(TO).into_iter().filter(|subject| subject.contains("`broken`")).collect();
        (letters.len() == 2).then_some(letters)
    });
    assert!(letters[1].starts_with("Berth: over after"), "{letters:?}");
    assert_eq!((of("alert.broken").len(), of("alert.healed").len()), (1, 1));

    // What is secret is on no command line, in no log and in no answer.
    let line = std::fs::read_to_string(format!("/proc/{}/cmdline", platform.own("server"))).unwrap();
    assert!(!line.contains("hidden"), "{line}");
    assert_eq!(platform.files_with("hidden"), Vec::<std::path::PathBuf>::new());
}

#[test]
fn options_that_cannot_be_are_told_at_start() {
    let dir = tempfile::tempdir().unwrap();
    for (arguments, words) in [
        (&["--alert-webhook", "chat.example.com/hidden"][..], "`--alert-webhook`: that is no address"),
        (&["--alert-secret-file", "/nowhere"], "`--alert-secret-file`: cannot read `/nowhere`"),
        (&["--alert-email", "a@example.com"], "name it with `--smtp smtps://"),
        (
            &["--smtp", "smtps://me:hidden@mail.example.com", "--alert-email", "a@example.com"],
            "--smtp-password-file",
        ),
        (&["--alert-after", "0"], "--alert-after"),
    ] {
        let output = Command::new(BERTH).arg("up").args(arguments).current_dir(dir.path()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(words), "{arguments:?}: {said}");
        assert!(!said.contains("hidden"), "{said}");
    }
    assert!(!dir.path().join("berth-data").exists(), "nothing is made for a start that cannot be");
}
