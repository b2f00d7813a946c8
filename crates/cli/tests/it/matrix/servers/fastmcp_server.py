# A server of the matrix on FastMCP: standard input and output, or HTTP at /mcp when PORT is set. FastMCP asks a legacy
# client in mid-call and lets a tool return its questions to a modern one; it has nothing that does both, so these do.
import os

import anyio
from fastmcp import Context, FastMCP
from mcp.types import (
    CreateMessageRequest,
    CreateMessageRequestParams,
    ElicitRequest,
    ElicitRequestFormParams,
    InputRequiredResult,
    SamplingMessage,
    TextContent,
)
from pydantic import BaseModel

STEP = 0.05
server = FastMCP("fastmcp")
cancelled: set[str] = set()


class Name(BaseModel):
    name: str


def is_modern(ctx: Context) -> bool:
    return "2026" <= ctx.request_context.protocol_version


@server.tool
def echo(message: str) -> str:
    return message


@server.tool
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


@server.tool
async def ask(ctx: Context) -> str | InputRequiredResult:
    message = "What is your name?"
    if not is_modern(ctx):
        answer = await ctx.elicit(message, Name)
        return f"Hello, {answer.data.name}!" if answer.action == "accept" else answer.action
    if ctx.input_responses and "name" in ctx.input_responses:
        return f"Hello, {ctx.input_responses['name'].content['name']}!"
    params = ElicitRequestFormParams(message=message, requested_schema=Name.model_json_schema())
    return InputRequiredResult(input_requests={"name": ElicitRequest(params=params)})


@server.tool
async def sample(ctx: Context) -> str | InputRequiredResult:
    messages = [SamplingMessage(role="user", content=TextContent(type="text", text="Say something"))]
    if not is_modern(ctx):
        answer = await ctx.session.create_message(messages, max_tokens=100, related_request_id=ctx.request_id)
        return answer.content.text
    if ctx.input_responses and "said" in ctx.input_responses:
        return ctx.input_responses["said"].content.text
    params = CreateMessageRequestParams(messages=messages, max_tokens=100)
    return InputRequiredResult(input_requests={"said": CreateMessageRequest(params=params)})


port = os.environ.get("PORT")
if port is None:
    server.run(show_banner=False)
else:
    server.run("http", host="127.0.0.1", port=int(port), show_banner=False, log_level="WARNING")
