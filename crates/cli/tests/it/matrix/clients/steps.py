# What every Python client does with each server that it is given: every step of the matrix, with a deadline each, and a
# line of JSON with what came of them. A client is made anew for every server, but not its process: most of what a process
# costs is its start.
import json
import sys
import uuid

import anyio

# As the other clients have.
DEADLINE = 30
POLL = 0.05
STEPS = ["list", "echo", "progress", "cancel", "elicit", "sample"]
TOOLS = {"echo", "slow", "cancelled", "ask", "sample"}


def reason(error: BaseException) -> str:
    """What is wrong in words: a task group wraps it as often as it likes."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) or repr(error)


async def within(step) -> str:
    try:
        with anyio.fail_after(DEADLINE):
            await step()
        return "ok"
    except TimeoutError:
        return f"nothing within {DEADLINE} s"
    except Exception as error:
        return reason(error)


def equal(found, wanted) -> None:
    if found != wanted:
        raise AssertionError(f"{found!r} instead of {wanted!r}")


def start(visit) -> None:
    """Arguments are the token, the mode and the servers' addresses. `visit(url, token, mode)` gives what `run` gave; a
    client that cannot connect, or not close, fails at every step.
    """
    token, mode, *urls = sys.argv[1:]

    async def bounded(url) -> dict[str, str]:
        with anyio.fail_after(DEADLINE * (len(STEPS) + 2)):
            return await visit(url, token, mode)

    for url in urls:
        try:
            outcome = anyio.run(bounded, url)
        except Exception as error:
            outcome = {name: reason(error) for name in STEPS} | {"revision": "none"}
        print(json.dumps(outcome), flush=True)


async def run(list_tools, call, cancel, revision) -> dict[str, str]:
    """`call(name, arguments, on_progress)` calls a tool and gives its result; `cancel(name, arguments, on_progress,
    enough)` calls one and gives it up once the event `enough` is set.
    """

    async def text(name, arguments, on_progress=None) -> str:
        result = await call(name, arguments, on_progress)
        said = result.content[0].text
        # 1.x has camel case, 2.x snake case.
        if getattr(result, "isError", False) or getattr(result, "is_error", False):
            raise AssertionError(said)
        return said

    async def listing() -> None:
        equal(TOOLS & {tool.name for tool in await list_tools()}, TOOLS)

    async def echo() -> None:
        equal(await text("echo", {"message": "Grüße"}), "Grüße")

    async def progress() -> None:
        seen = []

        async def on_progress(progress, total, message) -> None:
            seen.append(progress)

        equal(await text("slow", {"steps": 3, "label": ""}, on_progress), "done")
        equal(seen, [1, 2, 3])

    async def cancelling() -> None:
        enough = anyio.Event()
        label = str(uuid.uuid4())

        # The first progress shows that the tool is running.
        async def on_progress(progress, total, message) -> None:
            enough.set()

        await cancel("slow", {"steps": 1000, "label": label}, on_progress, enough)
        while await text("cancelled", {"label": label}) != "true":
            await anyio.sleep(POLL)

    async def elicit() -> None:
        equal(await text("ask", {}), "Hello, Ada!")

    async def sample() -> None:
        equal(await text("sample", {}), "a fixed text")

    steps = dict(zip(STEPS, [listing, echo, progress, cancelling, elicit, sample], strict=True))
    return {name: await within(step) for name, step in steps.items()} | {"revision": revision()}


async def abandon(call, enough) -> None:
    """Cancels the task that waits for a call; SDKs of version 2 tell the server."""
    async with anyio.create_task_group() as group:
        group.start_soon(call)
        await enough.wait()
        group.cancel_scope.cancel()
