//! The way to the engine: one client, made when it is first needed, and a time limit on every question.

use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::SystemInfo;
use tokio::sync::OnceCell;

use crate::error::RuntimeError;

/// Where an engine listens when nobody says otherwise.
const SOCKET: &str = "/var/run/docker.sock";
/// What only looks is answered in milliseconds; on a busy host in a second.
pub(super) const LOOK: Duration = Duration::from_secs(10);
/// What makes or removes something waits for disks and for the kernel.
pub(super) const WORK: Duration = Duration::from_mins(1);

/// The engine of this host.
#[derive(Debug)]
pub(super) struct Engine {
    /// Or what names none that will do.
    socket: Result<PathBuf, String>,
    client: OnceCell<Docker>,
    /// Where it keeps images and containers, once it has said so.
    data_root: OnceLock<PathBuf>,
}

impl Engine {
    /// The engine that `DOCKER_HOST` names, or the usual one. Only one of this host will do: directories are mounted.
    pub(super) fn of_environment() -> Self {
        let socket = match std::env::var("DOCKER_HOST") {
            Ok(host) if !host.is_empty() => match host.strip_prefix("unix://") {
                Some(path) if path.starts_with('/') => Ok(PathBuf::from(path)),
                _ => Err(host),
            },
            _ => Ok(PathBuf::from(SOCKET)),
        };
        Self { socket, client: OnceCell::new(), data_root: OnceLock::new() }
    }

    /// Asks the engine, and waits at most `limit`. `action` completes "the engine could not …".
    pub(super) async fn ask<T, F>(
        &self,
        action: &'static str,
        limit: Duration,
        ask: impl FnOnce(Docker) -> F,
    ) -> Result<T, RuntimeError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let socket = self
            .socket
            .as_ref()
            .map_err(|address| RuntimeError::EngineAddress { address: address.clone() })?;
        let asking = async {
            let client = self.client(socket).await?;
            ask(client).await
        };
        let begun = Instant::now();
        let answer = tokio::time::timeout(limit, asking).await;
        tracing::debug!(action, ms = begun.elapsed().as_millis(), "the engine was asked");
        match answer {
            Ok(answer) => answer.map_err(|error| self.error(action, limit, error)),
            Err(_elapsed) => Err(self.hangs(action, limit)),
        }
    }

    /// As [`Engine::ask`]; `None` when the engine says that there is no such thing.
    pub(super) async fn find<T, F>(
        &self,
        action: &'static str,
        limit: Duration,
        ask: impl FnOnce(Docker) -> F,
    ) -> Result<Option<T>, RuntimeError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        match self.ask(action, limit, ask).await {
            Ok(found) => Ok(Some(found)),
            Err(RuntimeError::Engine { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What an error of the client means.
    pub(super) fn error(&self, action: &'static str, limit: Duration, error: Error) -> RuntimeError {
        match error {
            Error::DockerResponseServerError { message, .. } if is_full(&message) => self.full(),
            Error::DockerResponseServerError { message, .. } if is_restarting(&message) => {
                RuntimeError::EngineRestarts { action, detail: message.trim().to_owned() }
            }
            Error::DockerResponseServerError { status_code, message } => {
                RuntimeError::Engine { action, status: status_code, detail: message.trim().to_owned() }
            }
            Error::RequestTimeoutError => self.hangs(action, limit),
            error => {
                let mut detail = error.to_string();
                let mut cause = error.source();
                while let Some(error) = cause {
                    detail = format!("{detail}: {error}");
                    cause = error.source();
                }
                RuntimeError::EngineAway { socket: self.shown(), detail }
            }
        }
    }

    /// Asks how the engine is set up and what its host has.
    pub(super) async fn info(&self) -> Result<SystemInfo, RuntimeError> {
        let info =
            self.ask("say how it is set up", LOOK, |docker| async move { docker.info().await }).await?;
        if let Some(root) = info.docker_root_dir.as_ref().filter(|root| !root.is_empty()) {
            self.data_root.get_or_init(|| root.into());
        }
        Ok(info)
    }

    /// Its disk is full.
    pub(super) fn full(&self) -> RuntimeError {
        let words = || "Docker's data directory (`docker info` names it)".into();
        RuntimeError::NoSpace { path: self.data_root.get().cloned().unwrap_or_else(words) }
    }

    pub(super) fn hangs(&self, action: &'static str, limit: Duration) -> RuntimeError {
        RuntimeError::EngineHangs { socket: self.shown(), action, seconds: limit.as_secs() }
    }

    fn shown(&self) -> PathBuf {
        self.socket.clone().unwrap_or_else(PathBuf::from)
    }

    async fn client(&self, socket: &Path) -> Result<Docker, Error> {
        // Its own limit is only a last resort, above all of ours.
        let connect = async || {
            Docker::connect_with_unix(&socket.to_string_lossy(), 600, bollard::API_DEFAULT_VERSION)?
                .negotiate_version()
                .await
        };
        self.client.get_or_try_init(connect).await.cloned()
    }
}

/// Whether the engine's words mean a full disk.
pub(super) fn is_full(message: &str) -> bool {
    message.contains("no space left on device") || message.contains("disk quota exceeded")
}

/// Whether the engine's words mean that its containerd is away for the moment, or that it ends itself in the middle of this.
pub(super) fn is_restarting(message: &str) -> bool {
    let words =
        ["containerd.sock", "transport is closing", "error reading from server: EOF", "context canceled"];
    // The last word is containerd's name for a gRPC status.
    message.trim_end().ends_with(": unavailable") || words.iter().any(|word| message.contains(word))
}
