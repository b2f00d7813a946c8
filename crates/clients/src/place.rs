//! Where clients keep what they know of servers.

use std::path::{Path, PathBuf};

use crate::Client;

/// A client's file, and where in it the servers are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    linux: &'static str,
    mac: &'static str,
    /// The member that holds the servers by their names.
    pub members: &'static str,
}

/// What a person's machine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    /// Linux, and whatever else keeps files where it does.
    Linux,
    /// macOS.
    Mac,
}

/// Where a client keeps its servers for the whole of its person's account on the machine; `None` where there is no such file, or none that
/// could be changed without losing something.
pub fn place(client: Client) -> Option<Place> {
    let (linux, mac, members) = match client {
        Client::Claude => (
            "~/.config/Claude/claude_desktop_config.json",
            "~/Library/Application Support/Claude/claude_desktop_config.json",
            "mcpServers",
        ),
        Client::ClaudeCode => ("~/.claude.json", "~/.claude.json", "mcpServers"),
        Client::Cursor => ("~/.cursor/mcp.json", "~/.cursor/mcp.json", "mcpServers"),
        Client::Vscode => {
            ("~/.config/Code/User/mcp.json", "~/Library/Application Support/Code/User/mcp.json", "servers")
        }
        Client::Windsurf => {
            let path = "~/.codeium/windsurf/mcp_config.json";
            (path, path, "mcpServers")
        }
        Client::Zed => ("~/.config/zed/settings.json", "~/.config/zed/settings.json", "context_servers"),
        Client::Codex => ("~/.codex/config.toml", "~/.codex/config.toml", "mcp_servers"),
        Client::GeminiCli => ("~/.gemini/settings.json", "~/.gemini/settings.json", "mcpServers"),
        Client::Goose | Client::ChatGpt | Client::Json => return None,
    };
    Some(Place { linux, mac, members })
}

impl Place {
    /// The file as people know it, on Linux.
    pub fn shown(&self) -> &'static str {
        self.linux
    }

    /// The file in a home directory. On Linux `config` is where programs keep their settings when it is not `.config` there
    /// (`XDG_CONFIG_HOME`).
    pub fn path(&self, system: System, home: &Path, config: Option<&Path>) -> PathBuf {
        let text = match system {
            System::Linux => self.linux,
            System::Mac => self.mac,
        };
        let below_home = text.trim_start_matches("~/");
        match (below_home.strip_prefix(".config/"), config) {
            (Some(below), Some(config)) => config.join(below),
            _ => home.join(below_home),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files() {
        #[track_caller]
        fn check(client: Client, system: System, config: Option<&str>, expected: &str) {
            let found = place(client).unwrap().path(system, Path::new("/home/ann"), config.map(Path::new));
            assert_eq!(found, Path::new(expected));
        }
        check(Client::Cursor, System::Linux, Some("/etc/xdg"), "/home/ann/.cursor/mcp.json");
        check(Client::Zed, System::Linux, None, "/home/ann/.config/zed/settings.json");
        check(Client::Zed, System::Linux, Some("/etc/xdg"), "/etc/xdg/zed/settings.json");
        let mac = "/home/ann/Library/Application Support/Code/User/mcp.json";
        check(Client::Vscode, System::Mac, None, mac);
        assert_eq!(place(Client::Goose), None);
    }
}
