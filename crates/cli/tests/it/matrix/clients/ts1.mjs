// The TypeScript SDK 1.x as a client; its mode is `http`, or `sse` for HTTP+SSE of 2024-11-05.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { SSEClientTransport } from "@modelcontextprotocol/sdk/client/sse.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { CreateMessageRequestSchema, ElicitRequestSchema } from "@modelcontextprotocol/sdk/types.js";

import { answers, capabilities, start } from "./steps.mjs";

await start((url, token, mode) => {
  const Transport = mode === "sse" ? SSEClientTransport : StreamableHTTPClientTransport;
  const transport = new Transport(url, { requestInit: { headers: { Authorization: `Bearer ${token}` } } });
  // The SDK tells a transport which revision was agreed on, and nobody else.
  let revision = "none";
  const setProtocolVersion = transport.setProtocolVersion.bind(transport);
  transport.setProtocolVersion = (version) => {
    revision = version;
    setProtocolVersion(version);
  };
  const client = new Client({ name: "ts1", version: "1" }, { capabilities });
  client.setRequestHandler(ElicitRequestSchema, answers.elicit);
  client.setRequestHandler(CreateMessageRequestSchema, answers.sample);
  return {
    open: () => client.connect(transport),
    list: async () => (await client.listTools()).tools,
    call: (name, args, options) => client.callTool({ name, arguments: args }, undefined, options),
    revision: () => revision,
    close: async () => {
      await transport.terminateSession?.();
      await client.close();
    },
  };
});
