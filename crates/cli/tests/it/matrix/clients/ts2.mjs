// The TypeScript SDK 2.x as a client: URL, TOKEN and its mode, `auto`, `legacy` or `2026-07-28`.
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";

import { answers, capabilities, run } from "./steps.mjs";

const [url, token, mode] = process.argv.slice(2);
const transport = new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers: { Authorization: `Bearer ${token}` } } });
// Without a mode the SDK speaks as its version 1 does.
const versionNegotiation = { mode: mode.startsWith("2") ? { pin: mode } : mode };
const client = new Client({ name: "ts2", version: "1" }, { capabilities, versionNegotiation });
client.setRequestHandler("elicitation/create", answers.elicit);
client.setRequestHandler("sampling/createMessage", answers.sample);

await run({
  open: () => client.connect(transport),
  list: async () => (await client.listTools()).tools,
  call: (name, args, options) => client.callTool({ name, arguments: args }, options),
  revision: () => client.getNegotiatedProtocolVersion(),
  close: async () => {
    await transport.terminateSession?.();
    await client.close();
  },
});
