# A server of the matrix on the Python SDK 1.x: standard input and output, or HTTP at /mcp when PORT is set.
import os

import anyio
from mcp.server.fastmcp import Context, FastMCP
from mcp.types import SamplingMessage, TextContent
from pydantic import BaseModel

STEP = 0.05
port = os.environ.get("PORT")
server = FastMCP("py1", host="127.0.0.1", port=int(port or 0), log_level="WARNING")
cancelled: set[str] = set()


class Name(BaseModel):
    name: str


@server.tool()
def echo(message: str) -> str:
    return message


@server.tool()
async def slow(steps: int, label: str, ctx: Context) -> str:
    try:
        for step in range(1, steps + 1):
            await ctx.report_progress(step, steps)
            await anyio.sleep(STEP)
    except anyio.get_cancelled_exc_class():
        cancelled.add(label)
        raise
    return "done"


@server.tool(name="cancelled")
def was_cancelled(label: str) -> str:
    return "true" if label in cancelled else "false"


@server.tool()
async def ask(ctx: Context) -> str:
    answer = await ctx.elicit("What is your name?", Name)
    return f"Hello, {answer.data.name}!" if answer.action == "accept" else answer.action


@server.tool()
async def sample(ctx: Context) -> str:
    message = SamplingMessage(role="user", content=TextContent(type="text", text="Say something"))
    answer = await ctx.session.create_message([message], max_tokens=100, related_request_id=ctx.request_id)
    return answer.content.text


server.run("stdio" if port is None else "streamable-http")
