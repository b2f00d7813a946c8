// The older platform's flows, as its front end goes through them: supabase-js, signed in with a token of the project, against Berth.
// Arguments: Berth's address, a token of its operator, the project's JWT secret and its address. Prints what it called, and `DONE`.

import { createHmac } from "node:crypto";
import { strict as assert } from "node:assert";
import { createClient } from "@supabase/supabase-js";

const [url, operatorToken, secret, project] = process.argv.slice(2);
const PATIENCE = 120_000;
const NOTHING = "00000000-0000-4000-8000-000000000000";
const called = new Set();

/** A JWT as Supabase's authentication makes them. */
function jwt(subject, role = "authenticated") {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const now = Math.floor(Date.now() / 1000);
  const claims = {
    iss: `${project}/auth/v1`, sub: subject, aud: "authenticated", exp: now + 3600, iat: now, role,
    email: `${subject}@example.com`, session_id: "8a64", is_anonymous: false,
  };
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}

const anonymous = jwt("anon", "anon");

/** Somebody with supabase-js: `ask` gives status and body of a function, whatever became of it. */
function user(token) {
  const client = createClient(url, anonymous, { accessToken: async () => token });
  const ask = async (method, path, body) => {
    const shown = path.split("?")[0].replace(/[0-9a-f]{8}-[0-9a-f-]{27}/g, "{}").replace(/(start|stop)$/, "{}");
    called.add(`${method} /functions/v1/${shown}`);
    const { data, error } = await client.functions.invoke(path, { method, body });
    const seen = error ? await error.context.json().catch(() => null) : data;
    assert(!JSON.stringify(seen ?? null).includes("dtma_bearer_token"), `${method} ${path}`);
    return { status: error ? error.context.status : 200, body: seen };
  };
  const done = async (method, path, body) => {
    const answer = await ask(method, path, body);
    assert.equal(answer.status, 200, `${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  };
  // Berth's own API, which the same token opens.
  const own = async (method, path, body) => {
    const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
    const response = await fetch(`${url}/api/v1${path}`, { method, headers, body: body && JSON.stringify(body) });
    assert(response.ok, `${method} ${path}: ${response.status} ${response.ok ? "" : await response.text()}`);
    return response.status === 204 ? null : response.json();
  };
  return { ask, done, own };
}

async function until(what, probe) {
  const deadline = Date.now() + PATIENCE;
  for (;;) {
    const { is, seen } = await probe();
    if (is) return seen;
    assert(Date.now() < deadline, `waited in vain for ${what}: ${JSON.stringify(seen)}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

/** A tool called at an MCP address, as a client of 2025-11-25 does; the answer to `tools/call`, or the status that there was instead. */
async function callTool(address, token, name, args) {
  const send = async (message, session) => {
    const headers = {
      authorization: `Bearer ${token}`, "content-type": "application/json",
      accept: "application/json, text/event-stream", "mcp-protocol-version": "2025-11-25",
    };
    if (session) headers["mcp-session-id"] = session;
    const response = await fetch(address, { method: "POST", headers, body: JSON.stringify(message) });
    const text = await response.text();
    const event = text.split("\n").filter((line) => line.startsWith("data:")).pop();
    const json = event ? event.slice(5) : text;
    return { response, body: json ? JSON.parse(json) : null };
  };
  const clientInfo = { name: "flows", version: "1" };
  const params = { protocolVersion: "2025-11-25", capabilities: {}, clientInfo };
  const opened = await send({ jsonrpc: "2.0", id: 1, method: "initialize", params });
  if (!opened.response.ok) return { status: opened.response.status, body: opened.body };
  const session = opened.response.headers.get("mcp-session-id");
  await send({ jsonrpc: "2.0", method: "notifications/initialized" }, session);
  const call = { jsonrpc: "2.0", id: 2, method: "tools/call", params: { name, arguments: args } };
  const { response, body } = await send(call, session);
  return { status: response.status, body };
}

const ada = user(jwt("ada"));
const bob = user(jwt("bob"));
const operator = user(operatorToken);

// Nobody is nobody, with the project's own key too.
for (const token of [anonymous, jwt("ada", "service_role"), "x"]) {
  assert.equal((await user(token).ask("GET", "toolboxes-user")).status, 401);
}

// A toolbox is ordered; its droplet comes up and reports.
assert.deepEqual(await ada.done("GET", "toolboxes-user"), []);
assert((await ada.done("GET", "digitalocean-options/regions")).some((one) => one.slug === "fra1"));
assert((await ada.done("GET", "digitalocean-options/sizes")).some((one) => one.slug === "s-1vcpu-1gb"));
const order = { name: "dolphin-249", description: "of Ada", regionSlug: "fra1", sizeSlug: "s-1vcpu-1gb" };
const toolbox = await ada.done("POST", "toolboxes-user", order);
assert.equal(toolbox.name, "dolphin-249", "the name by which the front end waits for it");
assert.equal(toolbox.status, "pending_provision");
const words = new Set();
await until("the toolbox", async () => {
  const row = await ada.done("POST", `toolboxes-user/${toolbox.id}/refresh-status`, {});
  words.add(row.status);
  return { is: row.status === "active" && row.provisioning_error_message === null, seen: row };
});
const known = ["pending_provision", "provisioning", "awaiting_heartbeat", "active"];
assert([...words].every((word) => known.includes(word)), [...words].join());
const shown = await ada.done("GET", `toolboxes-user/${toolbox.id}`);
assert(shown.dtma_health_details_json.memory.total_bytes > 0 && shown.do_droplet_id, JSON.stringify(shown));

// A template is deployed into it: a real entry of the catalog, which runs.
const templates = await ada.done("GET", "mcp-template-manager");
const welcome = templates.data.find((one) => one.tool_name === "welcome");
const tools = `toolbox-tools/${toolbox.id}/tools`;
const deploy = { toolCatalogId: welcome.id, instanceNameOnToolbox: "Greeter" };
const { id } = await ada.done("POST", tools, deploy);
const reached = async (word) => until(word, async () => {
  const row = await ada.done("GET", `${tools}/${id}`);
  return { is: row.status_on_toolbox === word, seen: row };
});
const running = await reached("running");
const address = running.mcp_discovery_metadata.url;
assert.deepEqual((await ada.done("GET", tools)).map((row) => row.id), [id]);
const listed = await ada.done("GET", `toolbox-tools?toolboxId=${toolbox.id}`);
assert.equal(listed.tool_instances[0].container_id, running.container_id);

// Stop, start, restart, status and logs, each for real.
await ada.done("POST", `${tools}/${id}/stop`, {});
await reached("stopped");
await ada.done("POST", `${tools}/${id}/start`, {});
await reached("running");
await ada.done("POST", "toolbox-tools", { toolboxId: toolbox.id, action: "restart", instanceId: id });
await until("the restarted server", async () => {
  const row = await ada.done("GET", `${tools}/${id}`);
  return { is: row.status_on_toolbox === "running", seen: row };
});
const { logs } = await ada.done("POST", "toolbox-tools", { action: "logs", instanceId: running.container_id });
assert(Array.isArray(logs));
const console_ = (action) => ada.done("POST", "toolbox-dtma-console", { toolboxId: toolbox.id, action });
const status = await console_("status");
assert.equal(status.connection_status, "connected");
assert.equal(status.dtma_status.tool_instances[0].account_tool_instance_id, id);
assert(status.system_metrics.memory.total_bytes > 0);
assert.equal((await console_("redeploy")).success, true);
assert.equal((await console_("restart")).success, true);
await until("the host agent's return", async () => {
  const seen = await console_("status");
  return { is: seen.success && seen.dtma_status.tool_instances[0]?.status === "running", seen };
});

// An agent is granted tools one by one.
const agent = await ada.own("POST", "/agents", { name: "helper" });
const agentToken = (await ada.own("POST", "/agents/helper/tokens", { name: "flows" })).secret;
const says = async (tool, args) => callTool(address, agentToken, tool, args);
const ungranted = await says("echo", { message: "hi" });
assert(!ungranted.body?.result || ungranted.body.result.isError, JSON.stringify(ungranted));
const belt = `agent-toolbelt/agents/${agent.id}/toolbelt`;
const early = await ada.ask("POST", `${belt}/items`, { account_tool_instance_id: id });
assert.equal(early.status, 403, JSON.stringify(early));
const grant = { account_tool_environment_id: toolbox.id };
const access = await ada.done("POST", `${belt}/toolbox-access`, grant);
assert.equal((await ada.done("GET", `${belt}/toolbox-access`))[0].account_tool_environments.name, "dolphin-249");
const item = await ada.done("POST", `${belt}/items`, { account_tool_instance_id: id });
assert.deepEqual(await ada.done("GET", `${belt}/items`), [item]);
const one = `${belt}/items/${item.id}`;
await ada.done("POST", `${one}/permissions`, { capability_name: "echo", is_permitted: true });
assert.equal((await ada.done("GET", `${one}/permissions`))[0].is_allowed, true);
const may = (tool, args, is) => until(`${tool} to be ${is ? "allowed" : "denied"}`, async () => {
  const seen = await says(tool, args);
  return { is: Boolean(seen.body?.result && !seen.body.result.isError) === is, seen };
});
const echoed = await may("echo", { message: "from an agent" }, true);
assert(JSON.stringify(echoed.body.result).includes("from an agent"), JSON.stringify(echoed));
await may("add", { a: 1, b: 2 }, false);

// What it brings is handed to the instance's host and to nobody else.
const bring = { credential_type: "api_key", credential_value: "hunter2" };
const credential = await ada.done("POST", `${one}/credentials`, bring);
assert(!JSON.stringify(await ada.done("GET", `${one}/credentials`)).includes("hunter2"));
const { token: hostToken } = await ada.own("POST", "/environments/dolphin-249/token");
const asked = { agentId: agent.id, accountToolInstanceId: id };
const brought = await user(hostToken).done("POST", "get-agent-tool-credentials", asked);
assert.deepEqual(brought, { secrets: { API_KEY: "hunter2" } });
assert.equal((await ada.ask("POST", "get-agent-tool-credentials", asked)).status, 401);

// The same server as a whole, and taken back.
const manager = "mcp-server-manager";
const whole = { agentId: agent.id, serverInstanceId: id, permissionScope: "full_access" };
await ada.done("POST", `${manager}/permissions/grant`, whole);
await may("add", { a: 1, b: 2 }, true);
const servers = await ada.done("GET", `${manager}/status?agentId=${agent.id}`);
assert.equal(servers.data.servers[0].agent_mcp_server_access[0].permission_scope, "full_access");
await ada.done("POST", `${manager}/permissions/revoke`, whole);
await may("add", { a: 1, b: 2 }, false);
const image = { dockerImageUrl: "ghcr.io/owner/none:1", instanceNameOnToolbox: "none-1", mcpTransportType: "stdio" };
const managed = await ada.done("POST", `${manager}/deploy`, { agentId: agent.id, serverConfig: image });
await ada.done("DELETE", `${manager}/remove/${managed.data.instanceId}?agentId=${agent.id}`);

// Templates are the operator's to register; everybody who is signed in sees them.
const notes = {
  name: "notes", displayName: "Notes", description: "Keeps notes.", dockerImage: "ghcr.io/owner/notes:1",
  category: "productivity", resourceHint: "light",
};
assert.equal((await ada.ask("POST", "mcp-template-manager", notes)).status, 403);
const registered = (await operator.done("POST", "mcp-template-manager", notes)).data;
const found = await ada.done("GET", "mcp-template-manager?category=productivity");
assert(found.data.some((row) => row.id === registered.id));
await operator.done("PUT", `mcp-template-manager/${registered.id}`, { description: "Keeps a team's notes." });
await operator.done("DELETE", `mcp-template-manager/${registered.id}`);

// Another user sees nothing of it and changes nothing.
assert.deepEqual(await bob.done("GET", "toolboxes-user"), []);
assert.deepEqual((await bob.done("GET", `${manager}/status`)).data.servers, []);
for (const [method, path, body] of [
  ["GET", `toolboxes-user/${toolbox.id}`],
  ["DELETE", `toolboxes-user/${toolbox.id}`],
  ["POST", `toolboxes-user/${toolbox.id}/refresh-status`, {}],
  ["GET", tools],
  ["POST", tools, deploy],
  ["GET", `toolbox-tools?toolboxId=${toolbox.id}`],
  ["GET", `${tools}/${id}`],
  ["DELETE", `${tools}/${id}`],
  ["POST", `${tools}/${id}/stop`, {}],
  ["POST", "toolbox-tools", { toolboxId: toolbox.id, action: "delete", instanceId: id }],
  ["POST", "toolbox-tools", { action: "stop", instanceId: id }],
  ["POST", "toolbox-tools", { action: "logs", instanceId: id }],
  ["POST", "toolbox-dtma-console", { toolboxId: toolbox.id, action: "status" }],
  ["POST", "toolbox-dtma-console", { toolboxId: toolbox.id, action: "restart" }],
  ["GET", `${belt}/toolbox-access`],
  ["POST", `${belt}/toolbox-access`, grant],
  ["DELETE", `${belt}/toolbox-access/${access.id}`],
  ["GET", `${belt}/items`],
  ["POST", `${belt}/items`, { account_tool_instance_id: id }],
  ["DELETE", one],
  ["GET", `${one}/credentials`],
  ["POST", `${one}/credentials`, bring],
  ["DELETE", `${one}/credentials/${credential.id}`],
  ["GET", `${one}/permissions`],
  ["POST", `${one}/permissions`, { capability_name: "*", is_permitted: true }],
  ["POST", `${manager}/deploy`, { agentId: agent.id, serverConfig: image }],
  ["DELETE", `${manager}/remove/${id}`],
  ["GET", `${manager}/status?agentId=${agent.id}`],
  ["POST", `${manager}/permissions/grant`, whole],
  ["POST", `${manager}/permissions/revoke`, whole],
]) {
  const answer = await bob.ask(method, path, body);
  assert.equal(answer.status, 404, `${method} ${path}: ${JSON.stringify(answer)}`);
  assert.equal(typeof answer.body.error, "string");
}
assert.equal((await callTool(address, jwt("bob"), "echo", { message: "x" })).status, 404);
assert.equal((await ada.done("GET", `${tools}/${id}`)).status_on_toolbox, "running");
await may("echo", { message: "still" }, true);

// What was granted is taken back, and what was made is removed.
await ada.done("DELETE", `${one}/credentials/${credential.id}`);
await ada.done("DELETE", one);
await may("echo", { message: "x" }, false);
await ada.done("DELETE", `${belt}/toolbox-access/${access.id}`);
const occupied = await ada.ask("DELETE", `toolboxes-user/${toolbox.id}`);
assert.equal(occupied.status, 409, JSON.stringify(occupied));
await ada.done("DELETE", `${tools}/${id}`);
await until("an empty toolbox", async () => {
  const rows = await ada.done("GET", tools);
  return { is: rows.length === 0, seen: rows };
});
assert.equal((await ada.ask("GET", `${tools}/${NOTHING}`)).status, 404);
await ada.done("DELETE", `toolboxes-user/${toolbox.id}`);
await until("the toolbox's end", async () => {
  const { status: is, body } = await ada.ask("GET", `toolboxes-user/${toolbox.id}`);
  assert(is === 404 || body.status === "deprovisioning", JSON.stringify(body));
  return { is: is === 404, seen: body };
});

for (const path of called) console.log(path);
console.log("DONE");
process.exit(0);
