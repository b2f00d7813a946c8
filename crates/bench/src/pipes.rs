//! The same server spoken to over pipes, with nothing between: what a call costs without Berth.

use std::collections::HashMap;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::load::{self, Figures};
use crate::processes;

/// A stdio server that has been initialised.
pub(crate) struct Server {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Server {
    /// Starts it and speaks first.
    pub(crate) async fn start(program: &Path, arguments: &[&str]) -> anyhow::Result<Self> {
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| program.display().to_string())?;
        let input = child.stdin.take().context("no standard input")?;
        let output = BufReader::with_capacity(1 << 16, child.stdout.take().context("no standard output")?);
        let mut server = Self { child, input, output };
        server.send(load::INITIALIZE).await?;
        server.receive().await?;
        server.send(load::INITIALIZED).await?;
        Ok(server)
    }

    async fn send(&mut self, message: &str) -> anyhow::Result<()> {
        Ok(self.input.write_all(format!("{message}\n").as_bytes()).await?)
    }

    async fn receive(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        if self.output.read_line(&mut line).await? == 0 {
            bail!("the server ended");
        }
        Ok(line)
    }

    /// Keeps `outstanding` calls with this text under way for `time`, after a warm-up.
    pub(crate) async fn load(
        &mut self,
        outstanding: u64,
        text: &str,
        warm_up: Duration,
        time: Duration,
    ) -> anyhow::Result<Figures> {
        let pids = [self.child.id().context("the server ended")?];
        let from = Instant::now() + warm_up;
        let until = from + time;
        let mut sent: HashMap<u64, Instant> = HashMap::new();
        let mut next = 0;
        let mut latencies = vec![];
        let mut before = None;
        loop {
            let now = Instant::now();
            if from <= now && before.is_none() {
                before = Some(processes::cpu(&pids));
            }
            if now < until && u64::try_from(sent.len())? < outstanding {
                next += 1;
                sent.insert(next, now);
                self.send(&load::call(next, "echo", text, "")).await?;
                continue;
            }
            if sent.is_empty() {
                break;
            }
            let line = self.receive().await?;
            let id = id_of(&line).with_context(|| format!("no id in {line}"))?;
            let begun = sent.remove(&id).with_context(|| format!("nobody asked for {line}"))?;
            if !load::contains(line.as_bytes(), text.as_bytes()) {
                bail!("a wrong answer: {line}");
            }
            if from <= begun {
                latencies.push(begun.elapsed());
            }
        }
        let cpu: Duration = processes::cpu(&pids).saturating_sub(before.unwrap_or_default());
        load::figures(latencies, cpu, time)
    }
}

fn id_of(line: &str) -> Option<u64> {
    serde_json::from_str::<serde_json::Value>(line).ok()?.get("id")?.as_u64()
}
