//! A whole Berth in a temporary directory, made of the real binary's real processes on ports of their own.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::processes::{self, Process};
use crate::wait;

/// `berth up` and its data directory. Dropped, it ends every process of it; after a failed test it prints the logs.
#[derive(Debug)]
pub struct Platform {
    berth: PathBuf,
    dir: tempfile::TempDir,
    arguments: Vec<String>,
    /// A process whose network it is in; absent: the test's own.
    within: Option<u32>,
    environment: Vec<(String, String)>,
    listen: String,
    up: Option<Child>,
    url: String,
    token: String,
}

impl Platform {
    /// Starts `berth up` on free ports and waits until `welcome` runs.
    ///
    /// # Panics
    /// When it ends, or is not ready in time.
    pub fn start(berth: &str) -> Self {
        Self::start_with(berth, &[])
    }

    /// As [`Platform::start`], with further arguments of `berth up`.
    ///
    /// # Panics
    /// When it ends, or is not ready in time.
    pub fn start_with(berth: &str, arguments: &[&str]) -> Self {
        Self::start_in(berth, arguments, &[])
    }

    /// As [`Platform::start_with`], with further variables in the environment of `berth up`.
    ///
    /// # Panics
    /// When it ends, or is not ready in time.
    pub fn start_in(berth: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::start_any(berth, "127.0.0.1:0", arguments, environment, None)
    }

    /// As [`Platform::start_in`], on an address of its own.
    ///
    /// # Panics
    /// When it ends, or is not ready in time.
    pub fn start_at(berth: &str, listen: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::start_any(berth, listen, arguments, environment, None)
    }

    /// As [`Platform::start_in`], it and its commands in the network of a process.
    ///
    /// # Panics
    /// When it ends, or is not ready in time.
    pub fn start_within(
        berth: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
        within: Option<u32>,
    ) -> Self {
        Self::start_any(berth, "127.0.0.1:0", arguments, environment, within)
    }

    fn start_any(
        berth: &str,
        listen: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
        within: Option<u32>,
    ) -> Self {
        let owned = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
        let mut platform = Self {
            berth: berth.into(),
            dir: tempfile::tempdir().expect("a temporary directory"),
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
            within,
            environment: environment.iter().map(owned).collect(),
            listen: listen.to_owned(),
            up: None,
            url: String::new(),
            token: String::new(),
        };
        platform.up();
        platform
    }

    /// Starts `berth up` again on the same data, after [`Platform::end`].
    ///
    /// # Panics
    /// When it ends, or is not ready in time.
    pub fn up(&mut self) {
        assert!(self.up.is_none(), "it is up already");
        let log = std::fs::File::create(self.dir.path().join("up.log")).expect("a log file");
        let child = self
            .program()
            .args(["up", "--listen", &self.listen, "--dtma-listen", "127.0.0.1:0", "--data"])
            .arg(self.data())
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("`berth up` starts");
        // The process that was named may end; this one is in the same network.
        self.within = self.within.map(|_| child.id());
        self.up = Some(child);
        // The address is a new one with every start; an answer under it shows that the file is this start's.
        wait::until("an answer to `berth whoami`", || {
            self.assert_up();
            let text = std::fs::read_to_string(self.data().join("client.toml")).ok()?;
            let client: toml::Table = text.parse().ok()?;
            client.get("url")?.as_str()?.clone_into(&mut self.url);
            client.get("token")?.as_str()?.clone_into(&mut self.token);
            self.command(&["whoami"]).output().ok().filter(|output| output.status.success())
        });
        self.wait_for("welcome", "running");
    }

    /// As [`Platform::up`], with other further arguments than before.
    ///
    /// # Panics
    /// As there.
    pub fn up_with(&mut self, arguments: &[&str]) {
        self.arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        self.up();
    }

    fn program(&self) -> Command {
        let Some(pid) = self.within else { return Command::new(&self.berth) };
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{pid}/ns/net")).arg(&self.berth);
        command
    }

    #[track_caller]
    fn assert_up(&mut self) {
        if let Some(status) = self.up.as_mut().and_then(|up| up.try_wait().expect("a child of ours")) {
            panic!("`berth up` ended: {status}");
        }
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("berth-data")
    }

    /// The control plane's address, such as `http://127.0.0.1:41234`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The first API token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// An instance's MCP address.
    pub fn mcp_url(&self, instance: &str) -> String {
        format!("{}/mcp/default/{instance}", self.url)
    }

    /// A `berth` command against this platform, not started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.program();
        command
            .args(arguments)
            .env("BERTH_URL", &self.url)
            .env("BERTH_TOKEN", &self.token)
            .env("NO_COLOR", "1")
            .current_dir(self.dir.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs a `berth` command to its end.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("`berth` starts")
    }

    /// Runs a `berth` command that must succeed and gives its standard output.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(
            output.status.success(),
            "`berth {}` failed: {}\n{out}\n{err}",
            arguments.join(" "),
            output.status
        );
        out.into_owned()
    }

    /// As [`Platform::ok`], with a text on its standard input.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn ok_with(&self, arguments: &[&str], input: &str) -> String {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("`berth` starts");
        let mut pipe = child.stdin.take().expect("a pipe");
        pipe.write_all(input.as_bytes()).expect("it reads");
        drop(pipe);
        let output = child.wait_with_output().expect("it ends");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "`berth {}` failed: {err}", arguments.join(" "));
        out.into_owned()
    }

    /// The files of the data directory, Berth's own binaries not meant, that hold a text in clear.
    ///
    /// # Panics
    /// When there is none at all.
    pub fn files_with(&self, text: &str) -> Vec<PathBuf> {
        let (mut open, mut looked, mut found) = (vec![self.data()], 0, vec![]);
        while let Some(path) = open.pop() {
            if path.is_dir() && !path.is_symlink() {
                open.extend(files(&path).into_iter().filter(|path| !path.ends_with("dtma/bin")));
            } else if let Ok(bytes) = std::fs::read(&path) {
                looked += 1;
                if bytes.windows(text.len()).any(|part| part == text.as_bytes()) {
                    found.push(path);
                }
            }
        }
        assert!(looked != 0, "there are files in {}", self.data().display());
        found
    }

    /// As [`Platform::ok`] with `--json`, parsed.
    ///
    /// # Panics
    /// When it fails or prints no JSON.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Value {
        let text = self.ok(&[arguments, &["--json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("no JSON: {error}: {text}"))
    }

    /// An instance as `berth list` has it; `None` when it is not there, or nobody answers at the moment.
    pub fn instance(&self, name: &str) -> Option<Value> {
        let output = self.run(&["list", "--json"]);
        let list: Value = serde_json::from_slice(&output.stdout).ok()?;
        list.as_array()?.iter().find(|item| item["name"] == name).cloned()
    }

    /// Waits until an instance has a status.
    ///
    /// # Panics
    /// When it has not within the usual patience; says what it has instead.
    #[track_caller]
    pub fn wait_for(&self, name: &str, status: &str) -> Value {
        let mut last = None;
        let deadline = std::time::Instant::now() + wait::PATIENCE;
        while std::time::Instant::now() < deadline {
            last = self.instance(name);
            if let Some(found) = last.as_ref().filter(|found| found["status"] == status) {
                return found.clone();
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("`{name}` is not {status}: {last:?}");
    }

    /// `berth up` and everything below it.
    pub fn processes(&self) -> Vec<Process> {
        self.up.as_ref().map(|up| processes::below(up.id())).unwrap_or_default()
    }

    /// The process id of `berth server` or `berth dtma`.
    ///
    /// # Panics
    /// When there is none in time.
    #[track_caller]
    pub fn own(&self, word: &str) -> u32 {
        wait::until(word, || {
            let found =
                self.processes().into_iter().find(|p| p.arguments.get(1).is_some_and(|first| first == word));
            found.map(|process| process.pid)
        })
    }

    /// The process id of the MCP server that has `word` among its arguments, the sandbox's helpers not meant.
    ///
    /// # Panics
    /// When there is none in time.
    #[track_caller]
    pub fn server(&self, word: &str) -> u32 {
        wait::until(word, || {
            let all = self.processes();
            all.iter().find(|p| p.has(word) && !p.has("__sandbox")).map(|process| process.pid)
        })
    }

    /// The process id of the shim above that server.
    ///
    /// # Panics
    /// When there is none in time.
    #[track_caller]
    pub fn shim(&self, word: &str) -> u32 {
        wait::until("the shim", || {
            let all = self.processes();
            let mut process = all.iter().find(|p| p.has(word) && !p.has("__sandbox"))?;
            while process.arguments.get(1).is_none_or(|first| first != "shim") {
                process = all.iter().find(|p| p.pid == process.parent)?;
            }
            Some(process.pid)
        })
    }

    /// SIGTERM to `berth up`; waits until it has ended.
    ///
    /// # Panics
    /// When it does not end in time, or not with 0.
    #[track_caller]
    pub fn end(&mut self) {
        let Some(mut up) = self.up.take() else { return };
        processes::signal(up.id(), rustix::process::Signal::TERM);
        let status = wait::until("the end of `berth up`", || up.try_wait().expect("a child of ours"));
        assert!(status.success(), "`berth up` ended with {status}");
    }

    /// `kill -9` of `berth up` and of everything below it, as the end of the host would.
    ///
    /// # Panics
    /// When it cannot be waited for.
    pub fn crash(&mut self) {
        let Some(mut up) = self.up.take() else { return };
        let all = processes::below(up.id());
        up.kill().expect("a child of ours");
        for process in all {
            processes::kill(process.pid);
        }
        up.wait().expect("a child of ours");
    }

    fn print_logs(&self) {
        let mut logs = vec![self.dir.path().join("up.log")];
        logs.extend(files(&self.data().join("log")));
        for dir in files(&self.data().join("dtma/instances")) {
            logs.extend(files(&dir).into_iter().filter(|file| file.extension().is_some_and(|e| e == "log")));
        }
        for log in logs {
            let mut text = vec![];
            if let Ok(mut file) = std::fs::File::open(&log) {
                // What cannot be read cannot be shown; the test has failed anyway.
                drop(file.read_to_end(&mut text));
            }
            let text = String::from_utf8_lossy(&text);
            let lines: Vec<&str> = text.lines().rev().take(60).collect();
            eprintln!("--- {}", log.display());
            for line in lines.iter().rev() {
                eprintln!("{line}");
            }
        }
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.print_logs();
        }
        let Some(mut up) = self.up.take() else { return };
        let all = processes::below(up.id());
        processes::signal(up.id(), rustix::process::Signal::TERM);
        let deadline = std::time::Instant::now() + wait::PATIENCE;
        while up.try_wait().is_ok_and(|status| status.is_none()) && std::time::Instant::now() < deadline {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        // Whatever a failed test left behind: only processes that were below ours.
        for process in all.iter().filter(|process| processes::is_alive(process.pid)) {
            processes::kill(process.pid);
        }
        drop(up.kill());
        drop(up.wait());
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}
