#!/usr/bin/env node
// A server of the matrix on the TypeScript SDK 1.x: standard input and output, or HTTP at /mcp when PORT is set.
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { z } from "zod";

const STEP = 50;
// Over HTTP each session has a server of its own; what was cancelled is the process's.
const cancelled = new Set();
const text = (text) => ({ content: [{ type: "text", text }] });

function make() {
  const server = new McpServer({ name: "ts1", version: "1" });
  server.registerTool("echo", { inputSchema: { message: z.string() } }, ({ message }) => text(message));
  server.registerTool("slow", { inputSchema: { steps: z.number(), label: z.string() } }, async ({ steps, label }, extra) => {
    const progressToken = extra._meta?.progressToken;
    for (let step = 1; step <= steps; step++) {
      if (extra.signal.aborted) {
        cancelled.add(label);
        return text("cancelled");
      }
      if (progressToken !== undefined) {
        await extra.sendNotification({ method: "notifications/progress", params: { progressToken, progress: step, total: steps } });
      }
      await sleep(STEP);
    }
    return text("done");
  });
  server.registerTool("cancelled", { inputSchema: { label: z.string() } }, ({ label }) => text(String(cancelled.has(label))));
  server.registerTool("ask", {}, async (extra) => {
    const params = {
      message: "What is your name?",
      requestedSchema: { type: "object", properties: { name: { type: "string" } }, required: ["name"] },
    };
    // What a call asks goes out on that call's stream only when it says which call it belongs to.
    const answer = await server.server.elicitInput(params, { relatedRequestId: extra.requestId });
    return text(answer.action === "accept" ? `Hello, ${answer.content.name}!` : answer.action);
  });
  server.registerTool("sample", {}, async (extra) => {
    const params = { messages: [{ role: "user", content: { type: "text", text: "Say something" } }], maxTokens: 100 };
    const answer = await server.server.createMessage(params, { relatedRequestId: extra.requestId });
    return text(answer.content.text);
  });
  return server;
}

if (process.env.PORT === undefined) {
  await make().connect(new StdioServerTransport());
} else {
  const sessions = new Map();
  const http = createServer(async (request, response) => {
    let transport = sessions.get(request.headers["mcp-session-id"]);
    if (transport === undefined) {
      transport = new StreamableHTTPServerTransport({
        sessionIdGenerator: randomUUID,
        onsessioninitialized: (id) => sessions.set(id, transport),
      });
      await make().connect(transport);
    }
    await transport.handleRequest(request, response);
  });
  http.listen(Number(process.env.PORT), "127.0.0.1");
}
