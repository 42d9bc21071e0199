"""A way to a server that can be cut, as a network or a failover cuts it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from tests.servers.kafka import free_ports

CHUNK = 64 * 1024


class Proxy:
    """Listens on a port of its own and passes everything on to a port on loopback, until ``cut``."""

    def __init__(self, target: int) -> None:
        self.port, self.target = free_ports(1)[0], target
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._ways: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._thread.start()
        self.open()

    def open(self) -> None:
        """Takes connections."""
        self._do(self._open)

    def cut(self) -> int:
        """Breaks every connection without a word, and refuses new ones until ``open``. Returns how many there were."""
        return self._do(self._cut)

    def close(self) -> None:
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _do(self, what: Callable[[], Coroutine[Any, Any, int]]) -> int:
        return asyncio.run_coroutine_threadsafe(what(), self._loop).result(10)

    async def _open(self) -> int:
        if self._server is None:
            self._server = await asyncio.start_server(self._join, "127.0.0.1", self.port)
        return 0

    async def _cut(self) -> int:
        server, self._server = self._server, None
        if server is not None:
            server.close()
        broken = list(self._ways)
        for way in broken:
            way.transport.abort()
        return len(broken) // 2

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._ways.add(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            self._ways.discard(writer)
            return
        self._ways.add(far_writer)
        await asyncio.gather(self._pass_on(reader, far_writer), self._pass_on(far_reader, writer))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(CHUNK):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()
            self._ways.discard(writer)
