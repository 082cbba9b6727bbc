"""A real RabbitMQ for tests: on the loopback interface, with a password, and gone with the test that started it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from kombu import Connection

from workers.broker.connecting import AWAY
from workers.stack.credentials import write_private
from workers.stack.processes import Child, free_ports

UNPACKED = Path(__file__).resolve().parents[1] / ".venv" / "rabbitmq"
PLACE = "LIVERISK_TEST_RABBITMQ"
"""An environment variable: where `tests/install_rabbitmq.sh` unpacked it, if not there."""
START_TIMEOUT_S = 90


def scripts() -> Path | None:
    """The folder of RabbitMQ's scripts: unpacked, or the system's; None where there is none."""
    unpacked = Path(os.environ.get(PLACE, UNPACKED))
    found = [*unpacked.glob("usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin"), Path("/usr/lib/rabbitmq/bin")]
    if on_path := shutil.which("rabbitmq-server"):
        found.append(Path(on_path).resolve().parent)
    return next((folder for folder in found if (folder / "rabbitmq-server").is_file()), None)


class RabbitMQ:
    """One node with a name, ports and an Erlang port mapper of its own. A restart keeps ports, data and password."""

    def __init__(self, directory: Path, password: str, *, tls: dict[str, Path] | None = None, vhosts: int = 0) -> None:
        """`vhosts`: for how many tests that want queues of their own; they are made when the server starts."""
        place = scripts()
        if place is None:
            pytest.fail("needs RabbitMQ: make rabbitmq")
        self._directory = directory
        self._password = password
        self._tls = tls  # as `tests.certificates` makes them
        self._vhosts = [f"test-{number}" for number in range(vhosts)]
        self._unused = iter(self._vhosts)
        self.port, self._names, self._distribution = free_ports(3)
        unpacked = Path(os.environ.get(PLACE, UNPACKED)) / "usr" / "lib" / "erlang" / "bin"
        self._path = f"{unpacked}{os.pathsep}{os.environ['PATH']}"
        launcher = shutil.which("epmd", path=self._path)
        # Started beforehand: a node would start one that outlives it.
        self._mapper = Child(
            "epmd",
            [launcher or "epmd", "-address", "127.0.0.1", "-port", str(self._names)],
            log=directory / "epmd.log",
            environment=self._environment(),
        )
        self.child = Child(
            "rabbitmq",
            [str(place / "rabbitmq-server")],
            log=directory / "rabbitmq.log",
            environment=self._environment(),
            grace_s=20,
        )

    @property
    def url(self) -> str:
        scheme = "amqp" if self._tls is None else "amqps"
        return f"{scheme}://liverisk:{self._password}@localhost:{self.port}//"

    def own_url(self) -> str:
        """A virtual host that nobody else has used: queues of the same name are not those of another test."""
        return f"{self.url.removesuffix('//')}/{next(self._unused)}"

    def start(self) -> None:
        """Returns when it answers; about four seconds."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(self._directory / "rabbitmq.conf", "\n".join((*self._settings(), "")))
        write_private(self._directory / "definitions.json", json.dumps(self._definitions()))
        write_private(self._directory / "enabled_plugins", "[].\n")
        if not self._mapper.running:
            self._mapper.start()
        self.child.start()
        self.child.wait_until(self.answers, timeout_s=START_TIMEOUT_S)

    def stop(self) -> None:
        self.child.stop()
        self._mapper.stop()

    def kill(self) -> None:
        """Without a chance to write anything."""
        self.child.kill()

    def answers(self) -> bool:
        ssl = self._client_tls()
        options = {"read_timeout": 2, "max_retries": 0}
        try:
            with Connection(self.url, connect_timeout=2, ssl=ssl, transport_options=options) as connection:
                connection.connect()
        except AWAY:
            return False
        return True

    def _client_tls(self) -> dict[str, str] | None:
        if self._tls is None:
            return None
        files = {"ca_certs": "ca", "certfile": "client", "keyfile": "client_key"}
        return {"server_hostname": "localhost"} | {name: str(self._tls[file]) for name, file in files.items()}

    def _settings(self) -> list[str]:
        listeners = [f"listeners.tcp.default = 127.0.0.1:{self.port}"]
        if self._tls is not None:
            listeners = [
                "listeners.tcp = none",
                f"listeners.ssl.default = 127.0.0.1:{self.port}",
                f"ssl_options.cacertfile = {self._tls['ca']}",
                f"ssl_options.certfile = {self._tls['certificate']}",
                f"ssl_options.keyfile = {self._tls['key']}",
                "ssl_options.verify = verify_peer",
                "ssl_options.fail_if_no_peer_cert = true",
            ]
        return [
            *listeners,
            f"load_definitions = {self._directory / 'definitions.json'}",
            "log.console.level = warning",
        ]

    def _definitions(self) -> dict[str, object]:
        vhosts = ["/", *self._vhosts]
        everything = {"user": "liverisk", "configure": ".*", "write": ".*", "read": ".*"}
        return {
            "users": [{"name": "liverisk", "password": self._password, "tags": ""}],
            "vhosts": [{"name": name} for name in vhosts],
            "permissions": [{**everything, "vhost": name} for name in vhosts],
        }

    def _environment(self) -> dict[str, str]:
        base = self._directory
        return {
            **os.environ,
            "PATH": self._path,
            "HOME": str(base),  # Erlang keeps its cookie there
            "ERL_EPMD_PORT": str(self._names),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"liverisk-{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(self._distribution),
            "RABBITMQ_MNESIA_BASE": str(base / "data"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_CONFIG_FILE": str(base / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(base / "none.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(base / "enabled_plugins"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(base / "generated"),
            # The launcher becomes the node, and ends with us, instead of watching one that would not.
            "RABBITMQ_ALLOW_INPUT": "1",
            # Two schedulers that do not spin while they wait: it shares its machine with a whole pool.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-noinput -kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +sbwt none"
            ),
        }
