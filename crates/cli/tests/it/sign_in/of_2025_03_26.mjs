// A client of 2025-03-26, as that revision describes it: it knows no metadata of resources and names none, looks for the
// authorization server at the origin of the MCP address, registers itself, and sends its token.
import { createServer } from "node:http";
import { createHash, randomBytes } from "node:crypto";

const [url] = process.argv.slice(2);
const origin = new URL(url).origin;
const ok = async (what, response) => {
  if (!response.ok) throw new Error(`${what}: ${response.status} ${await response.text()}`);
  return response.json();
};

let took;
const came = new Promise((resolve) => (took = resolve));
const callback = createServer((request, response) => {
  response.end("You can close this page.");
  const { searchParams } = new URL(request.url, "http://127.0.0.1");
  if (searchParams.has("code")) took(searchParams.get("code"));
});
await new Promise((resolve) => callback.listen(0, "127.0.0.1", resolve));
const redirect_uri = `http://127.0.0.1:${callback.address().port}/callback`;

const first = await fetch(url, { method: "POST", body: "{}", headers: { "content-type": "application/json" } });
if (first.status !== 401) throw new Error(`without a token: ${first.status}`);
const headers = { "MCP-Protocol-Version": "2025-03-26" };
const metadata = await ok(
  "metadata",
  await fetch(`${origin}/.well-known/oauth-authorization-server`, { headers }),
);
const { client_id } = await ok(
  "registration",
  await fetch(metadata.registration_endpoint, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ client_name: "Client of 2025-03-26", redirect_uris: [redirect_uri] }),
  }),
);
const verifier = randomBytes(32).toString("base64url");
const ask = new URL(metadata.authorization_endpoint);
ask.search = new URLSearchParams({
  response_type: "code",
  client_id,
  redirect_uri,
  code_challenge: createHash("sha256").update(verifier).digest("base64url"),
  code_challenge_method: "S256",
});
console.log(`OPEN ${ask}`);
const given = await ok(
  "token",
  await fetch(metadata.token_endpoint, {
    method: "POST",
    body: new URLSearchParams({
      grant_type: "authorization_code",
      code: await came,
      client_id,
      redirect_uri,
      code_verifier: verifier,
    }),
  }),
);
const post = (message, more = {}) =>
  fetch(url, {
    method: "POST",
    headers: {
      authorization: `Bearer ${given.access_token}`,
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
      ...more,
    },
    body: JSON.stringify({ jsonrpc: "2.0", ...message }),
  });
const opened = await post({
  id: 1,
  method: "initialize",
  params: { protocolVersion: "2025-03-26", capabilities: {}, clientInfo: { name: "old", version: "1" } },
});
const session = { "mcp-session-id": opened.headers.get("mcp-session-id") };
await opened.text();
await post({ method: "notifications/initialized" }, session);
const call = { id: 2, method: "tools/call", params: { name: "echo", arguments: { message: "hi" } } };
const answered = await (await post(call, session)).text();
const line = answered.split("\n").find((line) => line.startsWith("data: {")) ?? answered;
const { result } = JSON.parse(line.replace(/^data: /, ""));
console.log(`DONE ${JSON.stringify({ client_id, first: result.content, again: result.content })}`);
process.exit(0);
