"""A real Apache Kafka for tests, benchmarks and storms: one KRaft node on loopback, from its Maven artefacts, no container.

    with Kafka(folder) as kafka:
        KafkaProducer(bootstrap_servers=kafka.bootstrap)
        kafka.kill(); kafka.start()      # the same data, the same ports

Needs ``java`` (17 or later) and ``mvn``. Maven resolves ``pom.xml`` beside this file once and keeps the jars where it always does;
what is derived from them (class path, a formatted data folder, a class archive that halves the start) is kept in the virtualenv.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from routing.runtime.clock import monotonic

POM = Path(__file__).parent / "pom.xml"
CACHE = Path(sys.prefix) / "share" / "fingerpost-kafka"
START_SECONDS = 90
# Small, quick to start, and quiet: a broker of a test lives for seconds.
JAVA = ["java", "-Xms64m", "-Xmx320m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]
LOGGING = """\
Configuration:
  Appenders:
    Console: {name: console, PatternLayout: {pattern: "%d %p %m (%c)%n"}}
  Loggers:
    Root: {level: WARN, AppenderRef: {ref: console}}
"""
SETTINGS = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{plain},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{plain}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
num.network.threads=2
num.io.threads=4
log.cleaner.threads=1
log.cleaner.dedupe.buffer.size=4194304
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=2
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=250
log.retention.check.interval.ms=1000
log.segment.delete.delay.ms=1000
"""
# Three more doors of a ``secure`` broker: a password in the clear, a password and both certificates within TLS, certificates alone.
SECURE = """\
listeners=PLAINTEXT://127.0.0.1:{plain},CONTROLLER://127.0.0.1:{controller},\\
 SASL_PLAINTEXT://127.0.0.1:{sasl},SASL_SSL://127.0.0.1:{sasl_tls},SSL://127.0.0.1:{tls}
advertised.listeners=PLAINTEXT://127.0.0.1:{plain},\\
 SASL_PLAINTEXT://127.0.0.1:{sasl},SASL_SSL://127.0.0.1:{sasl_tls},SSL://127.0.0.1:{tls}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,\\
 SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
{logins}
ssl.keystore.type=PEM
ssl.keystore.location={folder}/server.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
ssl.client.auth=required
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users={trusted}
"""
LOGIN = """\
listener.name.{listener}.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \\
 user_{user}="{password}";
listener.name.{listener}.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
"""
USER, PASSWORD = "fingerpost", "correct-horse"
# Who may do everything at a ``secure`` broker. Anybody else may do what ``grant`` says.
TRUSTED = ("ANONYMOUS", USER, "CN=client")
# Tidies up when this process is killed: its end of the pipe closes, and nobody said that all is well.
GUARD = 'read -r done && exit 0; kill -9 "$1" 2>/dev/null; rm -rf "$2"'


class Kafka:
    """One broker. Ports and data stay the same over ``stop``, ``kill`` and ``start``."""

    def __init__(self, folder: Path, cache: Path | None = None, classes: str = "", *, secure: bool = False) -> None:
        """``folder`` holds data, settings and log; it is removed when this process dies, and by ``close``.

        A ``secure`` broker also listens at ``addresses`` "SASL_PLAINTEXT", "SASL_SSL" and "SSL"; ``ca.pem``, ``client.pem`` and
        ``client.key`` are in ``folder``.
        """
        self._folder = folder
        cache = cache or _prepared()
        classes = classes or f"-XX:SharedArchiveFile={cache / 'classes.jsa'}"
        self._command = [*JAVA, classes, f"-Dlog4j2.configurationFile={folder / 'log4j2.yaml'}"]
        self._command += ["-cp", (cache / "classpath").read_text(), "kafka.Kafka", str(folder / "server.properties")]
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        ports = free_ports(5)
        self._port = ports[0]
        self.bootstrap = f"127.0.0.1:{self._port}"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copytree(cache / "formatted", folder / "data")
        settings = SETTINGS.format(plain=ports[0], controller=ports[1], data=folder / "data")
        self.addresses: dict[str, str] = {}
        if secure:
            settings += self._secure(ports)
        (folder / "server.properties").write_text(settings, "utf-8")
        (folder / "log4j2.yaml").write_text(LOGGING, "utf-8")

    def _secure(self, ports: list[int]) -> str:
        from tests.servers.certificates import write_certificates

        write_certificates(self._folder)
        plain, controller, sasl, sasl_tls, tls = ports
        doors = {"SASL_PLAINTEXT": sasl, "SASL_SSL": sasl_tls, "SSL": tls}
        self.addresses = {name: f"127.0.0.1:{port}" for name, port in doors.items()}
        logins = "".join(
            LOGIN.format(listener=name, user=USER, password=PASSWORD) for name in ("sasl_plaintext", "sasl_ssl")
        )
        return SECURE.format(
            plain=plain,
            controller=controller,
            sasl=sasl,
            sasl_tls=sasl_tls,
            tls=tls,
            logins=logins,
            folder=self._folder,
            trusted=";".join(f"User:{name}" for name in TRUSTED),
        )

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Starts the broker unless it runs, and waits until it answers."""
        if self.running:
            return
        with (self._folder / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, start_new_session=True)
        self._guard = subprocess.Popen(
            ["sh", "-c", GUARD, "sh", str(self.pid), str(self._folder)], stdin=subprocess.PIPE, start_new_session=True
        )
        end, patience = monotonic() + START_SECONDS, threading.Event()
        while not self._answers():
            if not self.running or monotonic() > end:
                raise RuntimeError(f"The broker did not start:\n{self.log()[-4000:]}")
            patience.wait(0.02)

    def stop(self) -> None:
        """An orderly end: everything is on disk."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL, as a crash of the machine would look to the clients."""
        self._end(signal.SIGKILL)

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Connections stand, and nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    def restart(self) -> None:
        self.stop()
        self.start()

    def close(self) -> None:
        """Ends the broker and removes its data."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def file(self, name: str) -> str:
        """Where a file of the broker's folder is."""
        return str(self._folder / name)

    def log(self) -> str:
        """What the broker complained of so far."""
        return (self._folder / "broker.log").read_text("utf-8", "replace")

    def topic(self, partitions: int = 1, name: str = "", **settings: Any) -> str:
        """Makes a topic, by default of a name that nobody has; ``settings`` are Kafka's with ``_`` for ``.``. Returns its name."""
        from kafka.admin import KafkaAdminClient, NewTopic  # here, so that tests without Kafka do not wait for it

        name = name or f"topic-{uuid.uuid4().hex[:12]}"
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        try:
            configs = {key.replace("_", "."): str(value) for key, value in settings.items()}
            admin.create_topics([NewTopic(name, partitions, 1, topic_configs=configs)])
        finally:
            admin.close()
        return name

    def user(self, name: str, password: str) -> None:
        """Makes a user who may log in by SCRAM-SHA-512, and has no right yet."""
        from kafka.admin import KafkaAdminClient, ScramMechanism, UserScramCredentialUpsertion

        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        try:
            admin.alter_user_scram_credentials(
                [UserScramCredentialUpsertion(name, ScramMechanism.SCRAM_SHA_512, password)]
            )
        finally:
            admin.close()

    def grant(self, user: str, kind: str, name: str, *operations: str) -> None:
        """Gives a user rights on a resource; ``kind`` and ``operations`` are Kafka's words: "TOPIC", "READ" …"""
        self._change_rights("create_acls", user, kind, name, operations)

    def revoke(self, user: str, kind: str, name: str, *operations: str) -> None:
        """Takes rights away again."""
        self._change_rights("delete_acls", user, kind, name, operations)

    def _change_rights(self, how: str, user: str, kind: str, name: str, operations: tuple[str, ...]) -> None:
        from kafka.admin import ACL, ACLOperation, ACLPermissionType, KafkaAdminClient, ResourcePattern, ResourceType

        where = ResourcePattern(ResourceType[kind], name)
        rights = [ACL(f"User:{user}", "*", ACLOperation[one], ACLPermissionType.ALLOW, where) for one in operations]
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        try:
            getattr(admin, how)(rights)
        finally:
            admin.close()

    def __enter__(self) -> Kafka:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self._port), 1).close()
        except OSError:
            return False
        return True

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        if self._guard is not None:
            self._guard.communicate(b"done\n")
            self._guard = None


def free_ports(count: int) -> list[int]:
    """Free ports that the system gives to no outgoing connection: they are still free after the broker was away for minutes."""
    found: list[int] = []
    for port in random.sample(range(15_000, 32_000), 1000):
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError("there are no free ports on loopback")


def _prepared() -> Path:
    """The folder of what is derived from ``pom.xml``: made once, by one process at a time."""
    folder = CACHE / hashlib.sha256(POM.read_bytes()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        listed = folder / "classpath"
        if not listed.exists() or not all(Path(jar).exists() for jar in listed.read_text().split(os.pathsep)):
            _resolve(listed)
        if not (folder / "formatted").exists():
            _format(folder)
        if not (folder / "classes.jsa").exists():
            _archive(folder)
    return folder


def _resolve(listed: Path) -> None:
    """Asks Maven for the class path."""
    made = listed.with_suffix(".new")
    command = ["mvn", "-q", "-B", "-f", str(POM), "dependency:build-classpath", f"-Dmdep.outputFile={made}"]
    _run([*command, "-Dmdep.includeScope=runtime"], "Maven could not fetch Kafka")
    made.write_text(made.read_text().strip())
    made.rename(listed)


def _format(cache: Path) -> None:
    """An empty, formatted data folder to copy: formatting takes a Java of its own each time."""
    settings, making = cache / "format.properties", cache / "formatting"
    settings.write_text(SETTINGS.format(plain=1, controller=2, data=making), "utf-8")
    shutil.rmtree(making, ignore_errors=True)
    command = [*JAVA, "-cp", (cache / "classpath").read_text(), "kafka.tools.StorageTool", "format"]
    _run([*command, "-t", "RmluZ2VycG9zdFRlc3RzMQ", "-c", str(settings)], "Kafka could not format its data")
    making.rename(cache / "formatted")


def _archive(cache: Path) -> None:
    """The classes as a running broker has them in memory, so that the next one need not load and verify each."""
    making = cache / "classes.new"
    shutil.rmtree(cache / "trial", ignore_errors=True)
    trial = Kafka(cache / "trial", cache, f"-XX:ArchiveClassesAtExit={making}")
    try:
        trial.start()
        trial.stop()
    finally:
        trial.close()
    making.rename(cache / "classes.jsa")


def _run(command: list[str], trouble: str) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{trouble}:\n{done.stdout[-4000:]}")
