// The official TypeScript SDK 1.x as an OAuth client: says where a person has to decide, waits until they come back, calls a tool.
// Arguments: the MCP address, and as JSON {client_name, port, document?, client?}.
import { createServer } from "node:http";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { UnauthorizedError } from "@modelcontextprotocol/sdk/client/auth.js";

const [url, text] = process.argv.slice(2);
const { client_name, document, client } = JSON.parse(text);

let took;
const code = new Promise((resolve) => (took = resolve));
const callback = createServer((request, response) => {
  const { searchParams } = new URL(request.url, "http://127.0.0.1");
  response.end("You can close this page.");
  if (searchParams.has("code") || searchParams.has("error")) took(searchParams);
});
await new Promise((resolve) => callback.listen(0, "127.0.0.1", resolve));
const redirectUrl = `http://127.0.0.1:${callback.address().port}/callback`;

const kept = { client };
const authProvider = {
  redirectUrl,
  clientMetadataUrl: document,
  clientMetadata: {
    client_name,
    redirect_uris: [redirectUrl],
    grant_types: ["authorization_code", "refresh_token"],
    response_types: ["code"],
    token_endpoint_auth_method: client?.client_secret ? "client_secret_basic" : "none",
  },
  clientInformation: () => kept.client,
  saveClientInformation: (information) => (kept.client = information),
  tokens: () => kept.tokens,
  saveTokens: (tokens) => (kept.tokens = tokens),
  redirectToAuthorization: (to) => console.log(`OPEN ${to}`),
  saveCodeVerifier: (verifier) => (kept.verifier = verifier),
  codeVerifier: () => kept.verifier,
  state: () => "typescript state",
};
const connect = async () => {
  const mcp = new Client({ name: client_name, version: "1" });
  const transport = new StreamableHTTPClientTransport(new URL(url), { authProvider });
  try {
    await mcp.connect(transport);
    return mcp;
  } catch (error) {
    if (!(error instanceof UnauthorizedError)) throw error;
    const back = await code;
    if (!back.has("code")) throw new Error(`${back.get("error")}: ${back.get("error_description")}`);
    if (back.get("state") !== "typescript state") throw new Error("another state came back");
    await transport.finishAuth(back.get("code"));
    return null;
  }
};
const mcp = (await connect()) ?? (await connect());
const result = await mcp.callTool({ name: "echo", arguments: { message: "hi" } });
// The access token is thrown away: the client comes by its refresh token, without a person.
kept.tokens = { ...kept.tokens, access_token: "gone" };
const again = await mcp.callTool({ name: "echo", arguments: { message: "hi again" } });
console.log(`DONE ${JSON.stringify({ client_id: kept.client?.client_id, first: result.content, again: again.content })}`);
await mcp.close();
process.exit(0);
