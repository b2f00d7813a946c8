//! `berth connect`: what connects an MCP client to an instance, ready to be used, or put into the client's own file.

mod write;

use clients::{Client as McpClient, Server, connection};

use crate::addressed::Addressed;
use crate::args::ConnectArgs;
use crate::client::Client;
use crate::error::CliError;
use crate::output::Output;

/// Looks the instance up and prints its configuration, or writes it.
pub(crate) async fn run(args: &ConnectArgs, client: &Client, output: Output) -> Result<(), CliError> {
    let found = Addressed::find(client, &args.name).await?;
    if let Addressed::Instance(instance) = &found
        && instance.container.is_some()
    {
        let name = &args.name;
        return Err(CliError::failed(format!("`{name}` is a container tool and speaks no MCP"))
            .with_hint(format!("`berth status {name}` shows the ports on which it is reached")));
    }
    let token = Some(client.settings().token.expose()).filter(|_| !args.no_token);
    let server = Server { name: found.name(), url: found.url(), token };
    if let (Some(kind), true) = (args.client, args.write) {
        return write::run(kind, server, output);
    }
    match (args.client, output.json()) {
        (Some(kind), _) => output.data(&usual(kind, server)),
        (None, true) => output.data(&usual(McpClient::Json, server)),
        (None, false) => {
            let all = [
                ("Claude Code: run", McpClient::ClaudeCode),
                ("Cursor: in `~/.cursor/mcp.json`", McpClient::Cursor),
                ("VS Code: in `.vscode/mcp.json`", McpClient::Vscode),
                ("any other client", McpClient::Json),
            ];
            let parts: Vec<String> =
                all.iter().map(|(title, kind)| format!("# {title}\n{}", usual(*kind, server))).collect();
            output.data(&parts.join("\n\n"))?;
            let words: Vec<&str> = McpClient::ALL.iter().map(|client| client.word()).collect();
            output.hint(&format!(
                "`--client` takes one of {}; with `--write` its own file is changed",
                words.join(", ")
            ));
            if token.is_some() {
                output.hint("this holds your token: keep it to yourself, or make one per client with `berth token create NAME`");
            }
            Ok(())
        }
    }
}

/// The usual way to tell a client: a text, or where there is none what is done by hand.
fn usual(kind: McpClient, server: Server<'_>) -> String {
    let connection = connection(kind, server);
    match connection.ways.into_iter().next() {
        Some(way) => way.text,
        None => connection.steps.join("\n"),
    }
}
