"""A listening socket on loopback."""

from __future__ import annotations

import socket


def listen(port: int) -> socket.socket:
    """Listens on 127.0.0.1; port 0 takes a free one. Raises OSError when it is taken.

    Made by hand, since ``socket.create_server`` leaves the protocol number 0, asyncio then does not switch Nagle's algorithm
    off, and every answer of two packets waits 40 ms for the other side's delayed acknowledgement.
    """
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(("127.0.0.1", port))
        made.listen(128)
    except OSError as error:
        made.close()
        raise OSError(error.errno, f"port {port} on 127.0.0.1 cannot be listened on: {error.strerror}") from error
    return made
