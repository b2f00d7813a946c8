#!/usr/bin/env node
// A server of the matrix on the TypeScript SDK 2.x: standard input and output, or HTTP at /mcp when PORT is set. The
// same tools serve both eras: what is `inputRequired` becomes a request to a legacy client by the SDK itself.
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

import { NodeStreamableHTTPServerTransport, toNodeHandler, toWebRequest } from "@modelcontextprotocol/node";
import { acceptedContent, createMcpHandler, fromJsonSchema, inputRequired, inputResponse, isLegacyRequest, McpServer } from "@modelcontextprotocol/server";
import { serveStdio } from "@modelcontextprotocol/server/stdio";

const STEP = 50;
const cancelled = new Set();
const text = (text) => ({ content: [{ type: "text", text }] });
const schema = (properties) => fromJsonSchema({ type: "object", properties, required: Object.keys(properties) });
const string = { type: "string" };

function make() {
  const server = new McpServer({ name: "ts2", version: "1" });
  server.registerTool("echo", { inputSchema: schema({ message: string }) }, ({ message }) => text(message));
  server.registerTool("slow", { inputSchema: schema({ steps: { type: "integer" }, label: string }) }, async ({ steps, label }, { mcpReq }) => {
    const progressToken = mcpReq._meta?.progressToken;
    for (let step = 1; step <= steps; step++) {
      if (mcpReq.signal.aborted) {
        cancelled.add(label);
        return text("cancelled");
      }
      if (progressToken !== undefined) {
        await mcpReq.notify({ method: "notifications/progress", params: { progressToken, progress: step, total: steps } });
      }
      await sleep(STEP);
    }
    return text("done");
  });
  server.registerTool("cancelled", { inputSchema: schema({ label: string }) }, ({ label }) => text(String(cancelled.has(label))));
  server.registerTool("ask", {}, ({ mcpReq }) => {
    const answer = acceptedContent(mcpReq.inputResponses, "name");
    if (answer !== undefined) return text(`Hello, ${answer.name}!`);
    const requestedSchema = { type: "object", properties: { name: string }, required: ["name"] };
    return inputRequired({ inputRequests: { name: inputRequired.elicit({ message: "What is your name?", requestedSchema }) } });
  });
  server.registerTool("sample", {}, ({ mcpReq }) => {
    const answer = inputResponse(mcpReq.inputResponses, "said");
    if (answer.kind === "sampling") return text(answer.result.content.text);
    const messages = [{ role: "user", content: { type: "text", text: "Say something" } }];
    return inputRequired({ inputRequests: { said: inputRequired.createMessage({ messages, maxTokens: 100 }) } });
  });
  return server;
}

if (process.env.PORT === undefined) {
  serveStdio(make);
} else {
  // By itself the SDK serves legacy clients without sessions, and then can neither ask them anything nor hear of a
  // cancelled call: sessions are composed with it, in the way that its documentation shows.
  const modern = toNodeHandler(createMcpHandler(make, { legacy: "reject" }));
  const sessions = new Map();
  const http = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = chunks.length === 0 ? undefined : JSON.parse(Buffer.concat(chunks));
    if (!(await isLegacyRequest(await toWebRequest(request, body), body))) return modern(request, response, body);
    let transport = sessions.get(request.headers["mcp-session-id"]);
    if (transport === undefined) {
      transport = new NodeStreamableHTTPServerTransport({
        sessionIdGenerator: randomUUID,
        onsessioninitialized: (id) => sessions.set(id, transport),
      });
      await make({ era: "legacy" }).connect(transport);
    }
    await transport.handleRequest(request, response, body);
  });
  http.listen(Number(process.env.PORT), "127.0.0.1");
}
