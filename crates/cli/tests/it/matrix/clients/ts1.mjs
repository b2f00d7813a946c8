// The TypeScript SDK 1.x as a client: URL, TOKEN and, for HTTP+SSE of 2024-11-05, the word `sse`.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { SSEClientTransport } from "@modelcontextprotocol/sdk/client/sse.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { CreateMessageRequestSchema, ElicitRequestSchema } from "@modelcontextprotocol/sdk/types.js";

import { answers, capabilities, run } from "./steps.mjs";

const [url, token, wire] = process.argv.slice(2);
const Transport = wire === "sse" ? SSEClientTransport : StreamableHTTPClientTransport;
const transport = new Transport(new URL(url), { requestInit: { headers: { Authorization: `Bearer ${token}` } } });
// The SDK tells a transport which revision was agreed on, and nobody else.
let revision = "none";
const setProtocolVersion = transport.setProtocolVersion?.bind(transport);
transport.setProtocolVersion = (version) => {
  revision = version;
  setProtocolVersion?.(version);
};
const client = new Client({ name: "ts1", version: "1" }, { capabilities });
client.setRequestHandler(ElicitRequestSchema, answers.elicit);
client.setRequestHandler(CreateMessageRequestSchema, answers.sample);

await run({
  open: () => client.connect(transport),
  list: async () => (await client.listTools()).tools,
  call: (name, args, options) => client.callTool({ name, arguments: args }, undefined, options),
  revision: () => revision,
  close: async () => {
    await transport.terminateSession?.();
    await client.close();
  },
});
