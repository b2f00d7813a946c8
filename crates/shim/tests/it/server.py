"""A server that misbehaves on request. The first argument is a mode for its start; afterwards each request with the
method `script` says what to print and how to end, so that a test reads on one page."""

import json
import os
import signal
import sys
import time

mode = sys.argv[1]
INFO = {"name": "scripted", "version": "1"}
FULL = {"tools": {"listChanged": True}, "resources": {"subscribe": True, "listChanged": True}, "logging": {}}
out = sys.stdout.buffer


def say(text):
    out.write(text.encode() if isinstance(text, str) else text)
    out.flush()


def answer(id, result):
    say(json.dumps({"jsonrpc": "2.0", "id": id, "result": result}, ensure_ascii=False) + "\n")


if mode == "exit":
    sys.stderr.write("first words\nno such database\n")
    sys.exit(3)
if mode == "garbage":
    say("Welcome to my server!\nlistening\n")
    time.sleep(3600)
if mode == "chatty":
    say("Welcome to my server!\n")
if mode == "exit-once" and not os.path.exists("started"):
    open("started", "w").close()
    sys.exit(3)
if os.path.exists("broken"):
    sys.stderr.write("no such database\n")
    sys.exit(3)
if mode == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)

asking = {}
tame = False
for line in sys.stdin:
    message = json.loads(line)
    method, id, params = message.get("method"), message.get("id"), message.get("params") or {}
    if method == "initialize":
        hello = params
        if mode == "silent":
            continue
        if mode == "refuse":
            say(json.dumps({"jsonrpc": "2.0", "id": id, "error": {"code": -32603, "message": "not today"}}) + "\n")
            continue
        if mode == "modern":
            say(json.dumps({"jsonrpc": "2.0", "id": id, "error": {"code": -32601, "message": "no such method"}}) + "\n")
            continue
        version = "2024-11-05" if mode == "old" else "2025-11-25"
        capabilities = FULL if mode == "full" else {"tools": {}}
        answer(id, {"protocolVersion": version, "capabilities": capabilities, "serverInfo": INFO})
    elif method == "server/discover" and mode != "modern":
        say(json.dumps({"jsonrpc": "2.0", "id": id, "error": {"code": -32601, "message": "no such method"}}) + "\n")
    elif method == "server/discover":
        meta = {"io.modelcontextprotocol/serverInfo": INFO}
        answer(id, {"resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": FULL, "ttlMs": 0,
                    "cacheScope": "public", "_meta": meta})
    elif method in ("logging/setLevel", "resources/subscribe", "resources/unsubscribe"):
        answer(id, {})
    elif method == "tools/list":
        result = {"tools": []}
        if mode == "tools":
            result = {"tools": [{"name": "ask", "x": 1.0}, {"name": "secret"}] + [{"name": "tamed"}] * tame}
        if mode == "hints":
            # Two pages.
            if params.get("cursor") == "more":
                result = {"tools": [{"name": "add", "annotations": {"destructiveHint": False}}]}
            else:
                result = {"tools": [{"name": "read", "annotations": {"readOnlyHint": True}},
                                    {"name": "drop", "annotations": {"readOnlyHint": tame}}], "nextCursor": "more"}
        if mode == "unlisted":
            say(json.dumps({"jsonrpc": "2.0", "id": id, "error": {"code": -32603, "message": "not today"}}) + "\n")
            continue
        if mode == "modern":
            result = {"resultType": "complete", "ttlMs": 9, "tools": [], "cacheScope": "public"}
        answer(id, result)
    elif method == "prompts/list":
        answer(id, {"prompts": []})
    elif method in ("echo", "ping"):
        answer(id, params)
    elif method == "process":
        # Which process this is, and what it was told of its client.
        answer(id, {"pid": os.getpid(), "hello": hello})
    elif method == "tools/call" and params["name"] == "ask":
        question = "q%s" % id
        asking[question] = id
        say(json.dumps({"jsonrpc": "2.0", "id": question, "method": "elicitation/create",
                        "params": {"message": "who?", "requestedSchema": {"type": "object"}}}) + "\n")
    elif method == "tools/call":
        if params["name"] == "tame":
            tame = True
            say('{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}\n')
        answer(id, {"content": []})
    elif method is None and id in asking:
        answer(asking.pop(id), {"content": [], "said": message.get("result", message.get("error"))})
    elif method == "seen":
        # What the process has been sent since the last question, the question itself left out.
        answer(id, seen)
        seen = []
        continue
    elif method == "environment":
        answer(id, dict(os.environ))
    elif method == "script":
        token = json.dumps((params.get("_meta") or {}).get("progressToken"))
        for text in params.get("lines", []):
            say(text.replace("$ID", json.dumps(id)).replace("$TOKEN", token))
        while "then_wait_for" in params and not os.path.exists(params["then_wait_for"]):
            time.sleep(0.01)
        for text in params.get("then_lines", []):
            say(text.replace("$ID", json.dumps(id)).replace("$TOKEN", token))
        for size in params.get("sizes", []):
            say('{"jsonrpc":"2.0","id":%s,"result":"%s"}\n' % (json.dumps(id), "x" * size))
        for part in params.get("bytes", []):
            say(bytes(part))
            time.sleep(0.02)
        for text in params.get("stderr", []):
            sys.stderr.write(text)
            sys.stderr.flush()
        for _ in range(params.get("flood", 0)):
            sys.stderr.write("flood " + "x" * 1000 + "\n")
        if params.get("spawn"):
            if os.fork() == 0:
                time.sleep(3600)
        if "exit" in params:
            os._exit(params["exit"])
        if "kill" in params:
            os.kill(os.getpid(), params["kill"])
        if params.get("close"):
            os.close(1)
            time.sleep(3600)
    if method != "initialize":
        try:
            seen.append(message)
        except NameError:
            seen = [message]

if mode == "stubborn":
    time.sleep(3600)
