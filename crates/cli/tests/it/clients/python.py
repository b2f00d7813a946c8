# The official Python SDK 1.x as a client: lists the tools, calls `echo`, prints both as one JSON line.
import asyncio
import json
import sys

from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client


async def main(url: str, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    async with streamablehttp_client(url, headers=headers) as (read, write, _):
        async with ClientSession(read, write) as session:
            await session.initialize()
            tools = (await session.list_tools()).tools
            result = await session.call_tool("echo", {"message": "hi from Python"})
            content = [item.model_dump(mode="json", exclude_none=True) for item in result.content]
            print(json.dumps({"tools": [tool.name for tool in tools], "content": content}))


asyncio.run(main(sys.argv[1], sys.argv[2]))
