"""An application on loopback, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from connectors.sandbox.listening import listen

_START_SECONDS = 10.0
_TRANSPORT = "fingerpost.transport"


class _Protocol(HttpToolsProtocol):
    """Hands the connection to the application, which may break it off in the middle, as networks do."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope[_TRANSPORT] = self.transport  # type: ignore[literal-required]


def page() -> Response:
    """What a proxy or a page about maintenance answers in the place of a CRM: a success that is none of its answers."""
    return Response("<html><body>Please try again later.</body></html>", media_type="text/html")


async def break_off(request: Request) -> None:
    """Closes the connection without an answer."""
    request.scope[_TRANSPORT].abort()
    await asyncio.sleep(0)  # lets the server notice that the connection is gone


class Served:
    """``url`` is where it answers once started."""

    def __init__(self, app: Starlette, port: int, name: str) -> None:
        """``port`` 0 takes a free one, and keeps it when started again. ``name`` is the thread's."""
        self._app, self._port, self._name = app, port, name
        self.url = ""
        self._web: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Returns once it answers. Raises OSError when the port is taken."""
        listener = listen(self._port)
        self._port = listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        config = uvicorn.Config(
            self._app,
            http=_Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            date_header=False,  # the application sends the sandbox's own time
            server_header=False,
            timeout_keep_alive=60,
            timeout_graceful_shutdown=1,
        )
        web = self._web = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=lambda: asyncio.run(web.serve(sockets=[listener])), name=self._name, daemon=True
        )
        self._thread.start()
        waited = threading.Event()
        for _ in range(int(_START_SECONDS / 0.01)):
            if web.started:
                return
            waited.wait(0.01)
        raise OSError(f"{self._name} did not start on {self.url} within {_START_SECONDS:g} s")

    def stop(self) -> None:
        """Ends all connections."""
        if self._web is not None and self._thread is not None:
            self._web.should_exit = True
            self._thread.join(_START_SECONDS)
