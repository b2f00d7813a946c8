//! Taking another binary and putting it in the place of this one, where this host's DTMA is a service of systemd's.
//!
//! The binary comes in pieces, so that one that breaks off goes on where it was. Who replaces it is a unit of its own
//! (`berth dtma upgrade`), which outlives this process and takes back what does not serve; it leaves its word in a file.

use std::fs;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use api::dtma::{BinaryProgress, MAX_BINARY, PieceQuery, UpgradeOutcome, UpgradeRequest, UpgradeView};
use bytes::Bytes;
use domain::program::ProgramDigest;
use sha2::{Digest as _, Sha256};

use crate::specs::{WriteError, make_dir};

/// The unit that replaces it; there is one at a time.
const UNIT: &str = "berth-dtma-upgrade";
const ATTEMPT: &str = "attempt.json";
const OUTCOME: &str = "outcome.json";

/// Why it is not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpgradeError {
    /// Nobody starts this DTMA again.
    #[error("this host's DTMA is no service whose binary can be replaced")]
    NoService,
    /// Larger than any binary of Berth's.
    #[error("a binary has at most {MAX_BINARY} bytes")]
    TooLarge,
    /// Another came than was announced; it is forgotten.
    #[error("what came is another binary: its SHA-256 is {0}")]
    OtherDigest(String),
    /// It was not sent, or not whole.
    #[error("this binary is not here")]
    NotHere,
    /// Another attempt is under way.
    #[error("this host is being upgraded")]
    Busy,
    /// systemd says no.
    #[error("systemd does not start the upgrade: {0}")]
    Systemd(String),
    /// The disk says no.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// What is uploaded and tried on this host.
#[derive(Debug)]
pub(crate) struct Upgrades {
    directory: PathBuf,
    /// Its own binary, where it is a service.
    service: Option<PathBuf>,
    /// One thing at a time.
    one: tokio::sync::Mutex<()>,
}

impl Upgrades {
    pub(crate) fn new(data: &Path, service: Option<PathBuf>) -> Self {
        Self { directory: data.join("upgrade"), service, one: tokio::sync::Mutex::default() }
    }

    /// The binary that this is: a service's lies in a directory of its digest.
    pub(crate) fn program(&self) -> Option<ProgramDigest> {
        let own = self.service.as_deref()?.parent()?.file_name()?.to_str()?;
        own.strip_prefix("sha256-")?.parse().ok()
    }

    fn path(&self, digest: &ProgramDigest) -> PathBuf {
        self.directory.join(format!("sha256-{digest}"))
    }

    /// Takes a piece, when it follows what is there.
    ///
    /// # Errors
    /// Any [`UpgradeError`].
    pub(crate) async fn take(
        &self,
        digest: ProgramDigest,
        query: PieceQuery,
        piece: Bytes,
    ) -> Result<BinaryProgress, UpgradeError> {
        if self.service.is_none() {
            return Err(UpgradeError::NoService);
        }
        let end = query.offset.saturating_add(piece.len() as u64);
        if MAX_BINARY < query.size || query.size < end {
            return Err(UpgradeError::TooLarge);
        }
        let _one = self.one.lock().await;
        let (directory, whole) = (self.directory.clone(), self.path(&digest));
        let work = move || take(&directory, &whole, &digest, query, &piece);
        tokio::task::spawn_blocking(work).await.unwrap_or(Err(UpgradeError::Busy))
    }

    /// Begins to replace this binary. The same attempt again changes nothing.
    ///
    /// # Errors
    /// Any [`UpgradeError`].
    pub(crate) async fn begin(&self, request: UpgradeRequest) -> Result<(), UpgradeError> {
        let Some(own) = &self.service else { return Err(UpgradeError::NoService) };
        let _one = self.one.lock().await;
        let before = self.view();
        if before.last.as_ref().is_some_and(|last| last.attempt == request.attempt) {
            return Ok(());
        }
        let file = self.path(&request.program);
        if !file.exists() {
            return Err(UpgradeError::NotHere);
        }
        if is_under_way().await {
            return Err(UpgradeError::Busy);
        }
        let note = |path: &Path, text: &[u8]| {
            write(path, text).map_err(|source| WriteError::Io { path: path.to_owned(), source })
        };
        let text = serde_json::to_vec(&request).unwrap_or_default();
        let attempt = self.directory.join(ATTEMPT);
        note(&attempt, &text)?;
        let started = tokio::process::Command::new("systemd-run")
            .args(["--quiet", "--collect", "--no-ask-password", "--unit", UNIT])
            .arg(own)
            .args(["dtma", "upgrade"])
            .arg(&file)
            .args(["--attempt", &request.attempt.to_string(), "--outcome"])
            .arg(self.directory.join(OUTCOME))
            .stdin(Stdio::null())
            .output()
            .await;
        let why = match started {
            Ok(output) if output.status.success() => return Ok(()),
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => error.to_string(),
        };
        // Nothing was begun, so nothing is waited for.
        let _ = fs::remove_file(&attempt);
        Err(UpgradeError::Systemd(why))
    }

    /// What became of the last attempt.
    pub(crate) fn view(&self) -> UpgradeView {
        let last: Option<UpgradeRequest> = read(&self.directory.join(ATTEMPT));
        let outcome: Option<UpgradeOutcome> = read(&self.directory.join(OUTCOME));
        let outcome =
            outcome.filter(|outcome| last.as_ref().is_some_and(|last| last.attempt == outcome.attempt));
        UpgradeView { last, outcome }
    }
}

async fn is_under_way() -> bool {
    let asked = tokio::process::Command::new("systemctl")
        .args(["is-active", "--quiet", UNIT])
        .stdin(Stdio::null())
        .status()
        .await;
    asked.is_ok_and(|status| status.success())
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    let draft = path.with_extension("new");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&draft, path)
}

fn take(
    directory: &Path,
    whole: &Path,
    digest: &ProgramDigest,
    query: PieceQuery,
    piece: &[u8],
) -> Result<BinaryProgress, UpgradeError> {
    let size = |path: &Path| fs::metadata(path).map_or(0, |found| found.len());
    if whole.exists() {
        return Ok(BinaryProgress { received: size(whole), is_complete: true });
    }
    let draft = whole.with_extension("part");
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::StorageFull => WriteError::NoSpace(draft.clone()),
        _ => WriteError::Io { path: draft.clone(), source },
    };
    if !draft.exists() {
        make_dir(directory)?;
        // What was sent before is no longer wanted.
        for entry in fs::read_dir(directory).map_err(failed)?.flatten() {
            if entry.file_name().to_string_lossy().starts_with("sha256-") {
                fs::remove_file(entry.path()).map_err(failed)?;
            }
        }
    }
    let received = size(&draft);
    if received != query.offset || (piece.is_empty() && received != query.size) {
        return Ok(BinaryProgress { received, is_complete: false });
    }
    let mut file = fs::OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(&draft)
        .map_err(failed)?;
    if let Err(error) = file.write_all(piece) {
        // Half a piece would be no beginning of the next.
        file.set_len(received).map_err(failed)?;
        return Err(failed(error).into());
    }
    let received = received + piece.len() as u64;
    if received < query.size {
        return Ok(BinaryProgress { received, is_complete: false });
    }
    let found = hash(&mut file).map_err(failed)?;
    if found != digest.as_str() {
        fs::remove_file(&draft).map_err(failed)?;
        return Err(UpgradeError::OtherDigest(found));
    }
    file.set_permissions(fs::Permissions::from_mode(0o755)).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    fs::rename(&draft, whole).map_err(failed)?;
    Ok(BinaryProgress { received, is_complete: true })
}

fn hash(file: &mut fs::File) -> io::Result<String> {
    file.seek(SeekFrom::Start(0))?;
    let (mut sha256, mut part) = (Sha256::new(), vec![0; 1 << 18]);
    loop {
        match file.read(&mut part)? {
            0 => break,
            read => sha256.update(part.get(..read).unwrap_or_default()),
        }
    }
    let digits: Vec<String> = sha256.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(digits.concat())
}

#[cfg(test)]
mod tests;
