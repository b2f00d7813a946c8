# The Python SDK 2.x as a client; its mode is the SDK's, `auto` or `legacy`.
import httpx2
import steps
from mcp import Client, types
from mcp.client.streamable_http import streamable_http_client


async def elicit(context, params) -> types.ElicitResult:
    return types.ElicitResult(action="accept", content={"name": "Ada"})


async def sample(context, params) -> types.CreateMessageResult:
    content = types.TextContent(type="text", text="a fixed text")
    return types.CreateMessageResult(role="assistant", model="fixed", content=content)


async def visit(url, token, mode) -> dict[str, str]:
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=60) as http:
        transport = streamable_http_client(url, http_client=http)
        async with Client(transport, mode=mode, elicitation_callback=elicit, sampling_callback=sample) as client:

            async def call(name, arguments, on_progress):
                return await client.call_tool(name, arguments, progress_callback=on_progress)

            async def cancel(name, arguments, on_progress, enough) -> None:
                async def send() -> None:
                    await call(name, arguments, on_progress)

                await steps.abandon(send, enough)

            async def list_tools():
                return (await client.list_tools()).tools

            return await steps.run(list_tools, call, cancel, lambda: client.protocol_version)


steps.start(visit)
