//! `berth connect --write`: an instance put into the file of a client.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use clients::{Client, EditError, Edited, Server, System, edit, place};
use serde::Serialize;

use crate::error::CliError;
use crate::output::Output;

/// What became of a file.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Written {
    /// The file that the client reads.
    file: PathBuf,
    /// Whether it says something new.
    changed: bool,
    /// What it was before; absent when it is new or the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    backup: Option<PathBuf>,
}

/// Puts the server into the client's file in this person's home directory.
pub(super) fn run(client: Client, server: Server<'_>, output: Output) -> Result<(), CliError> {
    let by_hand =
        format!("`berth connect {} --client {}` prints what to put where", server.name, client.word());
    let Some(place) = place(client) else {
        return Err(CliError::failed(EditError::NoFile(client.title()).to_string()).with_hint(by_hand));
    };
    let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    let home = home.ok_or_else(|| CliError::failed("`HOME` names no directory").with_hint(&by_hand))?;
    let config = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|config| config.is_absolute());
    let system = if cfg!(target_os = "macos") { System::Mac } else { System::Linux };
    let path = place.path(system, &home, config.as_deref());
    let written = write(&path, client, server).map_err(|error| error.with_hint(by_hand))?;
    if output.json() {
        return output.document(&written);
    }
    let file = written.file.display();
    if !written.changed {
        output.say(&format!("{} knows `{}` already: {file} is as it was", client.title(), server.name));
        return Ok(());
    }
    match &written.backup {
        Some(backup) => output.say(&format!("changed {file}; what it was is in {}", backup.display())),
        None => output.say(&format!("made {file}")),
    }
    output.hint(&format!("start {} again, so that it reads it", client.title()));
    Ok(())
}

/// Changes a file as a whole or not at all, and keeps what it was. A link stays one: what it leads to is changed.
fn write(path: &Path, client: Client, server: Server<'_>) -> Result<Written, CliError> {
    let failed = |what: &str, path: &Path, error: io::Error| {
        CliError::because(format!("cannot {what} `{}`", path.display()), error)
    };
    let file = match fs::canonicalize(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(path).is_err() => {
            path.to_owned()
        }
        Err(error) => return Err(failed("read", path, error)),
    };
    let (text, mode) = match fs::read_to_string(&file) {
        Ok(text) => {
            let metadata = fs::metadata(&file).map_err(|error| failed("read", &file, error))?;
            (Some(text), metadata.permissions().mode() & 0o7777)
        }
        // It will hold a token.
        Err(error) if error.kind() == io::ErrorKind::NotFound => (None, 0o600),
        Err(error) => return Err(failed("read", &file, error)),
    };
    let edited = edit(client, text.as_deref().unwrap_or_default(), server)
        .map_err(|error| CliError::because(format!("`{}` is left as it is", file.display()), error))?;
    let (Edited::Added(new) | Edited::Changed(new)) = edited else {
        return Ok(Written { file, changed: false, backup: None });
    };
    let directory = file.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(directory).map_err(|error| failed("make", directory, error))?;
    let backup = match &text {
        Some(text) => {
            let backup = free_name(&file);
            put(directory, &backup, text, mode).map_err(|error| failed("write", &backup, error))?;
            Some(backup)
        }
        None => None,
    };
    put(directory, &file, &new, mode).map_err(|error| failed("write", &file, error))?;
    Ok(Written { file, changed: true, backup })
}

/// `FILE.before-berth`, or with a number when that is there: the first of them is what there was before all.
fn free_name(file: &Path) -> PathBuf {
    let named = |ending: &str| {
        let mut name = file.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    };
    let numbered = (2..1000).map(|number| named(&format!(".before-berth-{number}")));
    std::iter::once(named(".before-berth"))
        .chain(numbered)
        .find(|path| !path.exists())
        .unwrap_or(named(".before-berth"))
}

fn put(directory: &Path, path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut whole = tempfile::NamedTempFile::new_in(directory)?;
    whole.write_all(text.as_bytes())?;
    whole.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
    whole.as_file().sync_all()?;
    whole.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: Server<'_> =
        Server { name: "clock", url: "http://127.0.0.1:8420/mcp/default/clock", token: Some("t") };

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn files(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_new_file_is_its_owners_alone() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(".cursor/mcp.json");
        let written = write(&path, Client::Cursor, SERVER).unwrap();
        assert_eq!(written, Written { file: path.clone(), changed: true, backup: None });
        assert_eq!(mode(&path), 0o600);
        assert!(fs::read_to_string(&path).unwrap().contains("Bearer t"));
        let again = write(&path, Client::Cursor, SERVER).unwrap();
        assert_eq!((again.changed, files(path.parent().unwrap())), (false, vec!["mcp.json".to_owned()]));
    }

    #[test]
    fn what_was_there_is_kept() {
        let home = tempfile::tempdir().unwrap();
        let (real, link) = (home.path().join("settings.json"), home.path().join("link.json"));
        let before = "{\n  // mine\n  \"theme\": \"One\",\n}\n";
        fs::write(&real, before).unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o644)).unwrap();
        std::os::unix::fs::symlink("settings.json", &link).unwrap();
        let written = write(&link, Client::Zed, SERVER).unwrap();
        assert_eq!(fs::read_to_string(written.backup.unwrap()).unwrap(), before);
        let text = fs::read_to_string(&real).unwrap();
        assert!(text.starts_with("{\n  // mine\n  \"theme\": \"One\",\n  \"context_servers\": {"), "{text}");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(mode(&real), 0o644);
        write(&link, Client::Zed, Server { token: None, ..SERVER }).unwrap();
        let left =
            ["link.json", "settings.json", "settings.json.before-berth", "settings.json.before-berth-2"];
        assert_eq!(files(home.path()), left);
    }

    #[test]
    fn what_cannot_be_changed_stays() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("mcp.json");
        for text in ["{\"mcpServers\": [", "[1]", "\u{0}"] {
            fs::write(&path, text).unwrap();
            let error = write(&path, Client::Cursor, SERVER).unwrap_err();
            assert!(error.to_string().contains("is left as it is"), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        fs::write(&path, b"\xff").unwrap();
        assert!(write(&path, Client::Cursor, SERVER).unwrap_err().to_string().contains("cannot read"));
        assert_eq!(files(home.path()), ["mcp.json"]);
        std::os::unix::fs::symlink("nowhere/at/all", home.path().join("dangling")).unwrap();
        assert!(write(&home.path().join("dangling"), Client::Cursor, SERVER).is_err());
    }
}
