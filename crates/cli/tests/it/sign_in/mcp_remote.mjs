// `mcp-remote` of npm, as a desktop client starts it: MCP over its standard input and output. A program of this name on the PATH
// tells which page it opens.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

const [url, text] = process.argv.slice(2);
const { program, port, home } = JSON.parse(text);
const child = spawn(process.execPath, [program, url, String(port), "--allow-http"], {
  stdio: ["pipe", "pipe", "pipe"],
  env: { ...process.env, MCP_REMOTE_CONFIG_DIR: home, HOME: home },
});
let opened = false;
createInterface({ input: child.stderr }).on("line", (line) => {
  console.error(line);
  const found = line.match(/https?:\/\/\S*\/oauth\/authorize\S*/);
  if (found && !opened) {
    opened = true;
    console.log(`OPEN ${found[0]}`);
  }
});
const send = (message) => child.stdin.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`);
let client_id;
createInterface({ input: child.stdout }).on("line", (line) => {
  const message = JSON.parse(line);
  if (message.id === 1) {
    send({ method: "notifications/initialized" });
    send({ id: 2, method: "tools/call", params: { name: "echo", arguments: { message: "hi" } } });
  }
  if (message.id === 2) {
    const { content } = message.result;
    console.log(`DONE ${JSON.stringify({ client_id, first: content, again: content })}`);
    child.kill();
    process.exit(0);
  }
});
send({
  id: 1,
  method: "initialize",
  params: { protocolVersion: "2025-06-18", capabilities: {}, clientInfo: { name: "desktop", version: "1" } },
});
child.on("exit", (status) => process.exit(status ?? 1));
