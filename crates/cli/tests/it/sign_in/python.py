# The official Python SDK 1.x as an OAuth client: says where a person has to decide, waits until they come back, calls a tool.
# Arguments: the MCP address, and as JSON {client_name, document?, client?}.
import asyncio
import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlparse

from mcp import ClientSession
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamablehttp_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata

url, given = sys.argv[1], json.loads(sys.argv[2])
came = {}


class Callback(BaseHTTPRequestHandler):
    def do_GET(self):
        came.update({name: values[0] for name, values in parse_qs(urlparse(self.path).query).items()})
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"You can close this page.")

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Callback)
Thread(target=server.serve_forever, daemon=True).start()
redirect = f"http://127.0.0.1:{server.server_port}/callback"


class Storage:
    tokens = None
    client = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client):
        self.client = client


async def open_page(to):
    print(f"OPEN {to}", flush=True)


async def wait_for_person():
    while "code" not in came and "error" not in came:
        await asyncio.sleep(0.02)
    if "code" not in came:
        raise RuntimeError(f"{came}")
    return came["code"], came.get("state")


async def main():
    storage = Storage()
    method = "none"
    if given.get("client"):
        method = "client_secret_post" if given["client"].get("client_secret") else "none"
        storage.client = OAuthClientInformationFull(
            redirect_uris=[redirect], token_endpoint_auth_method=method, **given["client"]
        )
    metadata = OAuthClientMetadata(
        client_name=given["client_name"],
        redirect_uris=[redirect],
        grant_types=["authorization_code", "refresh_token"],
        response_types=["code"],
        token_endpoint_auth_method=method,
    )
    more = {"client_metadata_url": given["document"]} if given.get("document") else {}
    auth = OAuthClientProvider(url, metadata, storage, open_page, wait_for_person, **more)
    async with streamablehttp_client(url, auth=auth) as (read, write, _):
        async with ClientSession(read, write) as session:
            await session.initialize()
            result = await session.call_tool("echo", {"message": "hi"})
            storage.tokens = storage.tokens.model_copy(update={"access_token": "gone"})
            auth.context.current_tokens = storage.tokens
            auth.context.token_expiry_time = 1
            again = await session.call_tool("echo", {"message": "hi again"})
            seen = {
                "client_id": storage.client.client_id if storage.client else None,
                "first": [part.model_dump() for part in result.content],
                "again": [part.model_dump() for part in again.content],
            }
            print(f"DONE {json.dumps(seen)}", flush=True)


asyncio.run(main())
