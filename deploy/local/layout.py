"""Where everything lies on one machine: the data folder, sockets, ports and secrets."""

from __future__ import annotations

import hashlib
import json
import os
import random
import secrets
import socket
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from kit.identity import create_key, publish_keys

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("accounts", "works", "templates", "jobs")
SIGNERS = (*SERVICES, "worker", "inference", "gateway")
_PORTS = (
    *(f"{process}_metrics" for process in SIGNERS),
    "gateway",
    "nats",
    "nats_monitor",
    "s3",
    "s3_grpc",
    "master",
    "master_grpc",
    "volume",
    "volume_grpc",
    "filer",
    "filer_grpc",
    "triton_http",
    "triton_grpc",
    "triton_metrics",
)
# Below the ephemeral ports (ip_local_port_range): among those, while a part is down, an outgoing
# connection may take its port, and a client that tries to reach it may be connected to itself.
_PORT_RANGE = "20000-31999"
_GATEWAY_PORT = 8080


@dataclass(frozen=True)
class Layout:
    """The places of one installation.

    Attributes:
        data: The one folder that holds everything that must survive.
        run: A short path for sockets (a socket's path has at most 107 bytes).
        ports: Loopback ports by name.
        secrets: Passwords by name.
    """

    data: Path
    run: Path
    ports: dict[str, int]
    secrets: dict[str, str] = field(repr=False)

    @property
    def keys(self) -> Path:
        """Folder of the signing keys."""
        return self.data / "keys"

    @property
    def logs(self) -> Path:
        """Folder of one log per process."""
        return self.data / "logs"

    def socket(self, service: str) -> str:
        """The gRPC address of a service."""
        return f"unix:{self.run}/{service}.sock"

    def address(self, port: str) -> str:
        """The loopback address of a port by name."""
        return f"127.0.0.1:{self.ports[port]}"

    @property
    def gateway_url(self) -> str:
        """Where the API is."""
        return f"http://{self.address('gateway')}"

    def database_url(self, role: str) -> str:
        """The address of the database for a role."""
        password = self.secrets[f"database:{role}"]
        return f"postgresql://{role}:{password}@/atelier?host={self.run}/pg"

    def show_metrics(self, *processes: str) -> None:
        """Says where processes serve metrics, in the form of Prometheus' file_sd_configs.

        Who is named and does not answer is told as dead.
        """
        targets = [
            {
                "targets": [f"127.0.0.1:{self.ports[f'{process}_metrics']}"],
                "labels": {"process": process},
            }
            for process in processes
        ]
        (self.data / "prometheus.json").write_text(json.dumps(targets, indent=1))


def prepare(data: Path) -> Layout:
    """Makes the data folder or reads it, and chooses ports; those of the last run where free."""
    data = data.resolve()
    for folder in (data, data / "keys", data / "logs", data / "nats", data / "s3"):
        folder.mkdir(parents=True, exist_ok=True)
    (data / "keys").chmod(0o700)
    for signer in SIGNERS:
        create_key(data / "keys", signer)
    publish_keys(data / "keys")
    tag = hashlib.sha256(str(data).encode()).hexdigest()[:10]
    run = Path(tempfile.gettempdir()) / f"atelier-{tag}"
    run.mkdir(exist_ok=True)
    (run / "pg").mkdir(exist_ok=True)
    ports = _choose_ports(data / "ports.json")
    layout = Layout(data, run, ports, _secrets(data / "secrets.json"))
    layout.show_metrics(*SIGNERS)
    return layout


def _secrets(path: Path) -> dict[str, str]:
    if path.exists():
        kept: dict[str, str] = json.loads(path.read_text())
        return kept
    roles = ["postgres", *SERVICES, *(f"{service}_owner" for service in SERVICES)]
    made = {f"database:{role}": secrets.token_urlsafe(24) for role in roles}
    made |= {"s3:access": secrets.token_hex(10), "s3:secret": secrets.token_urlsafe(30)}
    path.touch(mode=0o600)
    path.write_text(json.dumps(made, indent=1))
    return made


def _choose_ports(path: Path) -> dict[str, int]:
    wanted: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
    wanted.setdefault("gateway", int(os.environ.get("ATELIER_HTTP_PORT", _GATEWAY_PORT)))
    free = _free_ports()
    chosen: dict[str, int] = {}
    for name in _PORTS:
        port = wanted.get(name, 0)
        is_ours = port and port not in chosen.values() and _is_free(port)
        chosen[name] = port if is_ours else next(p for p in free if p not in chosen.values())
    path.write_text(json.dumps(chosen, indent=1))
    return chosen


def _free_ports() -> Iterator[int]:
    first, last = os.environ.get("ATELIER_PORT_RANGE", _PORT_RANGE).split("-")
    ports = range(int(first), int(last) + 1)
    shuffled = random.sample(ports, len(ports))  # so that two at once seldom choose the same
    return (port for port in shuffled if _is_free(port))


def _is_free(port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def environment_bin(name: str) -> Path:
    """Returns the bin folder of an environment of this repository, .venv or .venv-models."""
    if name == ".venv":
        return Path(sys.executable).parent
    return ROOT / name / "bin"
