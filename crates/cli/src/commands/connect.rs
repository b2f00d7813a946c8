//! `berth connect`: the configuration that connects an MCP client to an instance, ready to be used. It holds the
//! token, which is why it is printed and never written to a file.

use serde_json::{Value, json};

use crate::args::{ConnectArgs, McpClientKind};
use crate::client::Client;
use crate::error::CliError;
use crate::output::Output;

/// Looks the instance up and prints its configuration.
pub(crate) async fn run(args: &ConnectArgs, client: &Client, output: Output) -> Result<(), CliError> {
    let instance = client.instance(&args.name).await?;
    if instance.container.is_some() {
        let name = &args.name;
        return Err(CliError::failed(format!("`{name}` is a container tool and speaks no MCP"))
            .with_hint(format!("`berth status {name}` shows the ports on which it is reached")));
    }
    let token = client.settings().token.expose();
    let one = |kind| configuration(kind, &args.name, &instance.url, token);
    match (args.client, output.json()) {
        (Some(kind), _) => output.data(&one(kind)),
        (None, true) => output.data(&one(McpClientKind::Json)),
        (None, false) => {
            let all = [
                ("Claude Code: run", McpClientKind::ClaudeCode),
                ("Cursor: in `~/.cursor/mcp.json`", McpClientKind::Cursor),
                ("VS Code: in `.vscode/mcp.json`", McpClientKind::Vscode),
                ("any other client", McpClientKind::Json),
            ];
            let parts: Vec<String> =
                all.iter().map(|(title, kind)| format!("# {title}\n{}", one(*kind))).collect();
            output.data(&parts.join("\n\n"))?;
            output.hint("this holds your token: keep it to yourself, or make one per client with `berth token create NAME`");
            Ok(())
        }
    }
}

/// What the client's own documentation asks for.
fn configuration(kind: McpClientKind, name: &str, url: &str, token: &str) -> String {
    let authorization = format!("Bearer {token}");
    let headers = json!({ "Authorization": authorization });
    let document = match kind {
        // Names, addresses and tokens hold no character that a shell takes as its own.
        McpClientKind::ClaudeCode => {
            return format!(
                "claude mcp add --transport http {name} {url} --header \"Authorization: {authorization}\""
            );
        }
        McpClientKind::Cursor => json!({ "mcpServers": { name: { "url": url, "headers": headers } } }),
        McpClientKind::Vscode => {
            json!({ "servers": { name: { "type": "http", "url": url, "headers": headers } } })
        }
        McpClientKind::Json => {
            json!({ "mcpServers": { name: { "type": "http", "url": url, "headers": headers } } })
        }
    };
    pretty(&document)
}

fn pretty(document: &Value) -> String {
    format!("{document:#}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: McpClientKind, expected: &str) {
        let url = "http://127.0.0.1:8420/mcp/default/clock";
        let found = configuration(kind, "clock", url, "berth_abc");
        // The order of members says nothing, and is another one where a dependency of the tests keeps that of the code.
        match serde_json::from_str::<Value>(expected) {
            Ok(expected) => assert_eq!(serde_json::from_str::<Value>(&found).ok(), Some(expected), "{found}"),
            Err(_) => assert_eq!(found, expected),
        }
    }

    #[test]
    fn configurations() {
        check(
            McpClientKind::ClaudeCode,
            "claude mcp add --transport http clock http://127.0.0.1:8420/mcp/default/clock --header \"Authorization: Bearer berth_abc\"",
        );
        check(
            McpClientKind::Cursor,
            r#"{
  "mcpServers": {
    "clock": {
      "headers": {
        "Authorization": "Bearer berth_abc"
      },
      "url": "http://127.0.0.1:8420/mcp/default/clock"
    }
  }
}"#,
        );
        check(
            McpClientKind::Vscode,
            r#"{
  "servers": {
    "clock": {
      "headers": {
        "Authorization": "Bearer berth_abc"
      },
      "type": "http",
      "url": "http://127.0.0.1:8420/mcp/default/clock"
    }
  }
}"#,
        );
        check(
            McpClientKind::Json,
            r#"{
  "mcpServers": {
    "clock": {
      "headers": {
        "Authorization": "Bearer berth_abc"
      },
      "type": "http",
      "url": "http://127.0.0.1:8420/mcp/default/clock"
    }
  }
}"#,
        );
    }
}
