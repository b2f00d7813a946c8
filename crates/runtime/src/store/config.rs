//! The host owner's own configuration of npm and pip: which registry, which proxy, which certificates. It goes
//! into the install's sandbox as it is, read-only, with the files that it names; never into a server's.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What one installer may have of the host's configuration.
#[derive(Debug, Default)]
pub(super) struct HostConfig {
    pub(super) env: BTreeMap<String, String>,
    /// Directories that it names.
    pub(super) read: Vec<PathBuf>,
    /// Its files, and files that it names; they may be closed to all but Berth's user.
    pub(super) copy: Vec<PathBuf>,
}

/// Proxies and certificates; looked up in both cases.
const SHARED: &[&str] = &[
    "all_proxy",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "ssl_cert_file",
    "ssl_cert_dir",
    "node_extra_ca_certs",
    "requests_ca_bundle",
    "curl_ca_bundle",
];
/// Settings (the last words of a key) whose values are paths.
const NAMES_FILES: &[&str] = &["cafile", "cert", "client-cert", "certfile", "keyfile", "find-links"];
/// Settings of the user's own shell that would send the install elsewhere or change its form.
const NPM_OURS: &[&str] = &[
    "cache",
    "dry-run",
    "global",
    "local-prefix",
    "location",
    "lockfile-version",
    "omit",
    "include",
    "only",
    "package-lock",
    "package-lock-only",
    "prefix",
    "production",
    "save",
    "workspace",
    "workspaces",
];
const PIP_OURS: &[&str] = &[
    "cache-dir",
    "constraint",
    "dry-run",
    "log",
    "no-binary",
    "no-deps",
    "only-binary",
    "prefix",
    "python",
    "report",
    "require-virtualenv",
    "requirement",
    "root",
    "src",
    "target",
    "upgrade",
    "user",
];

/// npm's configuration: the user's, the global one and the environment's.
pub(super) fn npm(node: &Path) -> HostConfig {
    let mut config = HostConfig::shared();
    config.variables("npm_config_", NPM_OURS);
    let prefix = node.parent().and_then(Path::parent).map(|prefix| prefix.join("etc/npmrc"));
    let mut files = vec!["/etc/npmrc".into(), "/usr/etc/npmrc".into(), "/usr/local/etc/npmrc".into()];
    files.extend(prefix);
    files.extend(home().map(|home| home.join(".npmrc")));
    for name in ["userconfig", "globalconfig"] {
        let value =
            config.env.iter().find(|(key, _)| key.eq_ignore_ascii_case(&format!("npm_config_{name}")));
        files.extend(value.map(|(_, value)| PathBuf::from(value)));
    }
    config.files(files);
    config
}

/// pip's configuration: the site's, the global one, the user's and the environment's.
pub(super) fn pip(prefix: &Path) -> HostConfig {
    let mut config = HostConfig::shared();
    config.variables("pip_", PIP_OURS);
    let mut files: Vec<PathBuf> = vec!["/etc/pip.conf".into(), "/etc/xdg/pip/pip.conf".into()];
    files.push(prefix.join("pip.conf"));
    if let Some(home) = home() {
        files.extend([home.join(".pip/pip.conf"), home.join(".config/pip/pip.conf"), home.join(".netrc")]);
    }
    files.extend(config.env.get("PIP_CONFIG_FILE").map(PathBuf::from));
    config.files(files);
    config
}

impl HostConfig {
    fn shared() -> Self {
        let mut config = Self::default();
        for (name, value) in text_variables() {
            if SHARED.contains(&name.to_ascii_lowercase().as_str()) {
                config.path(&value);
                config.env.insert(name, value);
            }
        }
        if let Some(home) = home() {
            config.env.insert("HOME".to_owned(), home.to_string_lossy().into_owned());
        }
        config
    }

    fn variables(&mut self, prefix: &str, ours: &[&str]) {
        for (name, value) in text_variables() {
            let lower = name.to_ascii_lowercase();
            let Some(setting) = lower.strip_prefix(prefix) else { continue };
            let setting = setting.replace('_', "-");
            if ours.contains(&setting.as_str()) {
                continue;
            }
            self.named(&setting, &value);
            self.env.insert(name, value);
        }
    }

    fn files(&mut self, files: Vec<PathBuf>) {
        for file in files.into_iter().collect::<BTreeSet<_>>() {
            let Ok(content) = fs::read_to_string(&file) else { continue };
            self.copy.push(file);
            let mut setting = String::new();
            for line in content.lines() {
                // pip.conf goes on with a list on indented lines.
                let value = match line.split_once('=') {
                    Some((key, value)) if !line.starts_with(char::is_whitespace) => {
                        key.trim().to_ascii_lowercase().clone_into(&mut setting);
                        value
                    }
                    _ => line,
                };
                self.named(&setting, value);
            }
        }
    }

    /// Lets in what the setting names, when it is one that names files.
    fn named(&mut self, setting: &str, value: &str) {
        // npm's keys may begin with a registry's address.
        let word = setting.rsplit(':').next().unwrap_or(setting);
        if NAMES_FILES.contains(&word) {
            for part in value.split_whitespace() {
                self.path(part.trim_matches('"'));
            }
        }
    }

    fn path(&mut self, value: &str) {
        let path = Path::new(value.strip_prefix("file://").unwrap_or(value));
        if !path.is_absolute() {
            return;
        }
        if path.is_file() {
            self.copy.push(path.to_owned());
        } else if path.is_dir() && path.parent().is_some() {
            self.read.push(path.to_owned());
        }
    }
}

fn home() -> Option<PathBuf> {
    std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute())
}

/// The environment, less what is not text.
fn text_variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}
