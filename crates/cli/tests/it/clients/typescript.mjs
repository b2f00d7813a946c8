// The official TypeScript SDK 1.x as a client: lists the tools, calls `echo`, prints both as one JSON line.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const [url, token] = process.argv.slice(2);
const client = new Client({ name: "typescript-sdk", version: "1" });
const transport = new StreamableHTTPClientTransport(new URL(url), {
  requestInit: { headers: { Authorization: `Bearer ${token}` } },
});
await client.connect(transport);
const { tools } = await client.listTools();
const result = await client.callTool({ name: "echo", arguments: { message: "hi from TypeScript" } });
console.log(JSON.stringify({ tools: tools.map((tool) => tool.name), content: result.content }));
await transport.terminateSession();
await client.close();
