# A server of the matrix on the Python SDK 2.x: standard input and output, or HTTP at /mcp when PORT is set. The same
# tools serve both eras: the SDK asks a legacy client in mid-call and gives a modern one the question as the result.
import os
from typing import Annotated

import anyio
from mcp.server.mcpserver import Context, Elicit, MCPServer, Resolve, Sample
from mcp.types import CreateMessageResult, SamplingMessage, TextContent
from pydantic import BaseModel

STEP = 0.05
server = MCPServer("py2", log_level="WARNING")
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


def question() -> Elicit[Name]:
    return Elicit("What is your name?", Name)


@server.tool()
async def ask(answer: Annotated[Name, Resolve(question)]) -> str:
    return f"Hello, {answer.name}!"


def prompt() -> Sample:
    message = SamplingMessage(role="user", content=TextContent(type="text", text="Say something"))
    return Sample([message], max_tokens=100)


@server.tool()
async def sample(answer: Annotated[CreateMessageResult, Resolve(prompt)]) -> str:
    return answer.content.text


port = os.environ.get("PORT")
if port is None:
    server.run()
else:
    server.run("streamable-http", host="127.0.0.1", port=int(port))
