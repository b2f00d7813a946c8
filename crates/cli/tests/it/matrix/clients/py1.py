# The Python SDK 1.x as a client; its mode is `http`, or `sse` for HTTP+SSE of 2024-11-05.
import anyio
import steps
from mcp import ClientSession, types
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamablehttp_client


async def elicit(context, params) -> types.ElicitResult:
    return types.ElicitResult(action="accept", content={"name": "Ada"})


async def sample(context, params) -> types.CreateMessageResult:
    content = types.TextContent(type="text", text="a fixed text")
    return types.CreateMessageResult(role="assistant", model="fixed", content=content)


async def visit(url, token, mode) -> dict[str, str]:
    connect = sse_client if mode == "sse" else streamablehttp_client
    async with connect(url, headers={"Authorization": f"Bearer {token}"}) as (read, write, *_):
        async with ClientSession(read, write, elicitation_callback=elicit, sampling_callback=sample) as session:
            with anyio.fail_after(steps.DEADLINE):
                opened = await session.initialize()

            async def call(name, arguments, on_progress):
                return await session.call_tool(name, arguments, progress_callback=on_progress)

            async def cancel(name, arguments, on_progress, enough) -> None:
                # The SDK tells a server nothing when its caller gives up, and gives no id away to do it oneself:
                # ids are counted, so that of the next request is known.
                id = session._request_id

                async def send() -> None:
                    await call(name, arguments, on_progress)

                await steps.abandon(send, enough)
                params = types.CancelledNotificationParams(requestId=id)
                notification = types.CancelledNotification(method="notifications/cancelled", params=params)
                await session.send_notification(types.ClientNotification(notification))

            async def list_tools():
                return (await session.list_tools()).tools

            return await steps.run(list_tools, call, cancel, lambda: opened.protocolVersion)


steps.start(visit)
