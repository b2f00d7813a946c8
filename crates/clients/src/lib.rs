//! How MCP clients are connected: what each of them wants to be told of a server, where it keeps that, and how its file is changed without
//! touching anything else in it. Everything here is text in, text out.

mod connection;
mod edit;
mod jsonc;
mod place;
mod qr;

pub use connection::{Connection, Language, Link, Way, connection};
pub use edit::{EditError, Edited, edit};
pub use place::{Place, System, place};
pub use qr::{Qr, qr};

/// A client that is known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Client {
    /// Claude, on the web, on a phone and as a desktop program.
    Claude,
    /// Claude Code.
    ClaudeCode,
    /// Cursor.
    Cursor,
    /// VS Code.
    Vscode,
    /// Windsurf.
    Windsurf,
    /// Zed.
    Zed,
    /// Codex.
    Codex,
    /// Gemini CLI.
    GeminiCli,
    /// Goose.
    Goose,
    /// `ChatGPT`.
    ChatGpt,
    /// Any other that reads `mcpServers`.
    Json,
}

impl Client {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 11] = [
        Self::Claude,
        Self::ClaudeCode,
        Self::Cursor,
        Self::Vscode,
        Self::Windsurf,
        Self::Zed,
        Self::Codex,
        Self::GeminiCli,
        Self::Goose,
        Self::ChatGpt,
        Self::Json,
    ];

    /// As it is written on a command line and in an address.
    pub fn word(self) -> &'static str {
        match self {
            Self::Claude => "claude",
            Self::ClaudeCode => "claude-code",
            Self::Cursor => "cursor",
            Self::Vscode => "vscode",
            Self::Windsurf => "windsurf",
            Self::Zed => "zed",
            Self::Codex => "codex",
            Self::GeminiCli => "gemini-cli",
            Self::Goose => "goose",
            Self::ChatGpt => "chatgpt",
            Self::Json => "json",
        }
    }

    /// The one that is written so.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|client| client.word() == word)
    }

    /// As its makers call it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Claude => "Claude",
            Self::ClaudeCode => "Claude Code",
            Self::Cursor => "Cursor",
            Self::Vscode => "VS Code",
            Self::Windsurf => "Windsurf",
            Self::Zed => "Zed",
            Self::Codex => "Codex",
            Self::GeminiCli => "Gemini CLI",
            Self::Goose => "Goose",
            Self::ChatGpt => "ChatGPT",
            Self::Json => "Any other client",
        }
    }

    /// Whether it signs its person in with a browser (OAuth), so that it needs no token.
    pub fn signs_in(self) -> bool {
        !matches!(self, Self::Windsurf | Self::Json)
    }

    /// Whether its makers' machines call the server, so that the address must be on the internet, with HTTPS.
    pub fn calls_from_the_internet(self) -> bool {
        matches!(self, Self::Claude | Self::ChatGpt)
    }
}

/// The server that a client is to use.
#[derive(Clone, Copy)]
pub struct Server<'a> {
    /// What the client calls it.
    pub name: &'a str,
    /// Its MCP address.
    pub url: &'a str,
    /// What is shown there; absent: the client signs in by itself, or asks nobody.
    pub token: Option<&'a str>,
}

impl std::fmt::Debug for Server<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let token = self.token.map(|_| "…");
        f.debug_struct("Server")
            .field("name", &self.name)
            .field("url", &self.url)
            .field("token", &token)
            .finish()
    }
}
