# FastMCP as a client; its mode is FastMCP's, `auto` or `legacy`.
import steps
from fastmcp import Client
from fastmcp.client.elicitation import ElicitResult


async def elicit(message, response_type, params, context) -> ElicitResult:
    return ElicitResult(action="accept", content={"name": "Ada"})


async def sample(messages, params, context) -> str:
    return "a fixed text"


async def visit(url, token, mode) -> dict[str, str]:
    async with Client(url, auth=token, mode=mode, elicitation_handler=elicit, sampling_handler=sample) as client:

        async def call(name, arguments, on_progress):
            return await client.call_tool(name, arguments, progress_handler=on_progress)

        async def cancel(name, arguments, on_progress, enough) -> None:
            async def send() -> None:
                await call(name, arguments, on_progress)

            await steps.abandon(send, enough)

        return await steps.run(client.list_tools, call, cancel, lambda: client.protocol_version)


steps.start(visit)
