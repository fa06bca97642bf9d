"""The server of the page: three files, and the runs' records as server-sent events.

It is for this machine: it listens on 127.0.0.1 unless another address is asked for, and answers
only requests whose Host is an address or a name of this machine. A page from elsewhere, whose own
name was made to lead here (DNS rebinding), sends that name and is refused.

Source: Jackson et al., "Protecting Browsers from DNS Rebinding Attacks" (CCS 2007), section 4.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from ..host.errors import UserError
from .runs import Feed

PORT, PORTS = 8400, 20
SECONDS = 0.5  # between two looks at the runs' files
NAME = "tinygrad-llm watch"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
                               "connect-src 'self'; img-src data:; frame-ancestors 'none'; "
                               "base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin", "Cache-Control": "no-store"}


def application(places: Sequence[Path], host: str = "127.0.0.1",
                stopping: Callable[[], bool] = lambda: False) -> Starlette:
    """Return the application; its events end once `stopping` returns true."""
    watched = os.fsencode(" ".join(map(str, places)))
    headers = {**HEADERS, "Server": f"{NAME}; {quote(watched)}"}

    async def events() -> AsyncIterator[str]:
        feed, quiet = Feed(places), 0.0
        yield "retry: 1000\n\n"
        while not stopping():
            news = await run_in_threadpool(lambda: list(feed.news()))
            quiet = 0.0 if news else quiet + SECONDS
            for message in news:
                yield f"data: {message}\n\n"
            if quiet >= 15:  # so that a reader who has gone is noticed
                quiet = 0.0
                yield ": still here\n\n"
            await asyncio.sleep(SECONDS)

    async def answer(request: Request) -> Response:
        if not is_own(request.headers.get("host", ""), host):
            return PlainTextResponse("The Host of this request is no name of this machine.\n", 403,
                                     HEADERS)
        if request.url.path == "/events":
            return StreamingResponse(events(), media_type="text/event-stream", headers=headers)
        name = request.url.path[1:] or "page.html"
        return FileResponse(Path(__file__).with_name(name), headers=headers)

    return Starlette(routes=[Route(path, answer, methods=["GET"])
                             for path in ("/", "/page.css", "/page.js", "/events")])


def is_own(named: str, host: str) -> bool:
    """Whether a request's Host is an address, this machine's, or the one that was asked for.

    >>> is_own("localhost:8400", "127.0.0.1"), is_own("192.168.1.7:8400", "0.0.0.0")
    (True, True)
    >>> is_own("evil.example:8400", "127.0.0.1")
    False
    """
    name = named[1:].partition("]")[0] if named[:1] == "[" else named.partition(":")[0]
    try:
        ip_address(name)
    except ValueError:
        return name.lower() in {"localhost", host.lower(), socket.gethostname().lower()}
    return True


def serve(places: Sequence[Path], host: str = "127.0.0.1", port: int | None = None,
          ready: Callable[[str], None] = print) -> None:
    """Serve the page until Ctrl-C; `ready` is given its address.

    Without a port it is PORT or the next one that is free. Raises UserError where a port is in
    use, or the address is not this machine's.
    """
    listening = _listen(host, port)
    server: uvicorn.Server
    app = application(places, host, lambda: server.should_exit)
    server = uvicorn.Server(uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, date_header=False,
        lifespan="off", timeout_graceful_shutdown=2))
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    number = listening.getsockname()[1]
    ready(f"http://{f'[{shown}]' if ':' in shown else shown}:{number}/")
    with listening:
        server.run([listening])


def _listen(host: str, port: int | None) -> socket.socket:
    """Return a socket that listens; the next port where PORT is in use and none was asked for."""
    for number in [port] if port is not None else range(PORT, PORT + PORTS):
        try:
            return _bound(host, number)
        except (OSError, UnicodeError) as error:  # the second for a name that cannot be one
            if number and _answers(host, number):
                continue
            raise UserError(f"cannot listen on {host}, port {number}: "
                            f"{getattr(error, 'strerror', None) or error}; name another --host or "
                            f"--port") from error
    last = port or PORT
    raise UserError(f"port {last} is in use by {who_is_at(host, last)}; name another --port, or "
                    f"leave it out for one that is free" if port is not None else
                    f"the ports {PORT} to {PORT + PORTS - 1} are all in use; name another --port")


def _bound(host: str, port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        if os.name == "nt":  # where SO_REUSEADDR would take the port of another
            made.setsockopt(socket.SOL_SOCKET, getattr(socket, "SO_EXCLUSIVEADDRUSE"), 1)  # noqa: B009
        else:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(128)
    except BaseException:
        made.close()
        raise
    return made


def _answers(host: str, port: int) -> bool:
    """Whether something listens there."""
    try:
        socket.create_connection((_near(host), port), timeout=1).close()
    except (OSError, UnicodeError):
        return False
    return True


def _near(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def who_is_at(host: str, port: int) -> str:
    """Return what answers on a port, in words."""
    connection = http.client.HTTPConnection(_near(host), port, timeout=1)
    try:
        connection.request("GET", "/page.css")
        server = connection.getresponse().getheader("Server") or ""
    except (OSError, http.client.HTTPException):
        server = ""
    finally:
        connection.close()
    name, _, watched = server.partition("; ")
    if name == NAME:
        return f"another '{NAME}', of {unquote(watched)}: open http://{_near(host)}:{port}/"
    return f"another program{f' ({server[:40]})' if server.isprintable() and server else ''}"


def announced(address: str, asked: int | None) -> Any:
    """Return the line that says where the page is, and whose place its port is not."""
    number = int(address.rpartition(":")[2].strip("/"))
    other = "" if asked is not None or number == PORT else (
        f" (port {PORT} is in use by {who_is_at('127.0.0.1', PORT)})")
    return f"watching at {address}{other}; Ctrl-C ends it"
