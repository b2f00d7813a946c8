//! Credentials for registries: those that came with the spec, else those of `docker login` of Berth's user, so that an image that `docker pull` gets on this
//! host is one that Berth gets too. Credential helpers, which are programs, are not asked.

use std::collections::BTreeMap;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bollard::auth::DockerCredentials;
use domain::registry::{self, RegistryLogin};
use domain::secret::Secret;
use serde::Deserialize;

/// The key of Docker Hub in the file.
const HUB: &str = "https://index.docker.io/v1/";

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    auth: Option<Secret>,
    #[serde(default, rename = "identitytoken")]
    identity_token: Option<Secret>,
}

/// The file that `docker login` writes; `None` when there is no home.
pub(super) fn file() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let directory = set("DOCKER_CONFIG").or_else(|| Some(set("HOME")?.join(".docker")))?;
    Some(directory.join("config.json"))
}

/// What the engine takes of a login that came with a spec.
pub(super) fn of_login(login: &RegistryLogin) -> DockerCredentials {
    DockerCredentials {
        username: Some(login.username.clone()),
        password: Some(login.password.expose().to_owned()),
        serveraddress: Some(server(login.host.as_str())),
        ..DockerCredentials::default()
    }
}

/// A registry in the engine's words.
fn server(registry: &str) -> String {
    if registry == registry::HUB { HUB } else { registry }.to_owned()
}

/// The credentials for a registry; `None` when there are none, or none that can be read.
pub(super) fn of(registry: &str) -> Option<DockerCredentials> {
    let path = file()?;
    let text = std::fs::read(&path).ok()?;
    match serde_json::from_slice(&text) {
        Ok(file) => find(&file, registry),
        Err(error) => {
            tracing::warn!(path = %path.display(), line = error.line(), "the file of registry credentials cannot be read");
            None
        }
    }
}

fn find(file: &File, registry: &str) -> Option<DockerCredentials> {
    let wanted = if registry == registry::HUB { "index.docker.io" } else { registry };
    let host_of = |key: &str| {
        let rest = key.split_once("://").map_or(key, |(_, rest)| rest);
        rest.split('/').next().unwrap_or_default().to_owned()
    };
    let (_, entry) = file.auths.iter().find(|(key, _)| host_of(key) == wanted)?;
    let server = if registry == registry::HUB { HUB } else { registry };
    let mut credentials =
        DockerCredentials { serveraddress: Some(server.to_owned()), ..DockerCredentials::default() };
    if let Some(token) = &entry.identity_token {
        credentials.identitytoken = Some(token.expose().to_owned());
        return Some(credentials);
    }
    let decoded = String::from_utf8(STANDARD.decode(entry.auth.as_ref()?.expose()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    credentials.username = Some(user.to_owned());
    credentials.password = Some(password.trim_end_matches('\0').to_owned());
    Some(credentials)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_of_a_login() {
        let auth = STANDARD.encode("me:pa:ss");
        let text = format!(
            r#"{{"auths":{{"{HUB}":{{"auth":"{auth}"}},"ghcr.io":{{"auth":"{auth}"}},"https://r.example:5000/v2/":
            {{"identitytoken":"t"}},"helped.example":{{}},"broken.example":{{"auth":"!"}}}},"credsStore":"x"}}"#
        );
        let file: File = serde_json::from_str(&text).unwrap();
        for registry in ["docker.io", "ghcr.io"] {
            let found = find(&file, registry).unwrap();
            assert_eq!((found.username.as_deref(), found.password.as_deref()), (Some("me"), Some("pa:ss")));
        }
        assert_eq!(find(&file, "r.example:5000").unwrap().identitytoken.as_deref(), Some("t"));
        for registry in ["helped.example", "broken.example", "other.example"] {
            assert!(find(&file, registry).is_none(), "{registry}");
        }
    }
}
