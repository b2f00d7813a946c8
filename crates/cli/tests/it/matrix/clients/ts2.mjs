// The TypeScript SDK 2.x as a client; its mode is the SDK's, `auto` or `legacy`.
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";

import { answers, capabilities, start } from "./steps.mjs";

await start((url, token, mode) => {
  const transport = new StreamableHTTPClientTransport(url, { requestInit: { headers: { Authorization: `Bearer ${token}` } } });
  // Without a mode the SDK is a legacy client.
  const client = new Client({ name: "ts2", version: "1" }, { capabilities, versionNegotiation: { mode } });
  client.setRequestHandler("elicitation/create", answers.elicit);
  client.setRequestHandler("sampling/createMessage", answers.sample);
  return {
    open: () => client.connect(transport),
    list: async () => (await client.listTools()).tools,
    call: (name, args, options) => client.callTool({ name, arguments: args }, options),
    revision: () => client.getNegotiatedProtocolVersion(),
    close: async () => {
      await transport.terminateSession();
      await client.close();
    },
  };
});
