"""NATS JetStream and S3 (SeaweedFS) from wheels."""

from __future__ import annotations

import json

from deploy.local import probes
from deploy.local.layout import Layout, environment_bin
from deploy.local.part import Part


def nats(layout: Layout) -> Part:
    """Describes NATS: JetStream that syncs before it acknowledges."""
    config = layout.data / "nats" / "nats.conf"
    config.write_text(
        f"""\
server_name: atelier
listen: {layout.address("nats")}
http: {layout.address("nats_monitor")}
max_payload: 1MB
jetstream {{
  store_dir: "{layout.data / "nats"}"
  max_file_store: 2GB
  # The default acknowledges before it writes: a power cut loses what was acknowledged.
  sync_interval: always
}}
"""
    )
    return Part(
        name="nats",
        command=[str(environment_bin(".venv") / "nats-server"), "-c", str(config)],
        probe=probes.http(f"http://{layout.address('nats_monitor')}/healthz"),
    )


def s3(layout: Layout) -> Part:
    """Describes object storage: signed requests only, no telemetry, small volumes."""
    identities = layout.data / "s3" / "identities.json"
    credentials = {
        "accessKey": layout.secrets["s3:access"],
        "secretKey": layout.secrets["s3:secret"],
    }
    identity = {"name": "atelier", "credentials": [credentials], "actions": ["Admin"]}
    identities.touch(mode=0o600)
    identities.write_text(json.dumps({"identities": [identity]}))
    ports = layout.ports
    return Part(
        name="s3",
        command=[
            str(environment_bin(".venv") / "weed"),
            "server",
            f"-dir={layout.data / 's3'}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            f"-master.port={ports['master']}",
            f"-master.port.grpc={ports['master_grpc']}",
            "-master.telemetry=false",
            # A single master elects itself; with the default it waits ten seconds on every restart.
            "-master.electionTimeout=1s",
            "-master.heartbeatInterval=100ms",
            "-master.volumeSizeLimitMB=1024",
            f"-volume.port={ports['volume']}",
            f"-volume.port.grpc={ports['volume_grpc']}",
            "-volume.max=0",
            f"-filer.port={ports['filer']}",
            f"-filer.port.grpc={ports['filer_grpc']}",
            "-s3",
            f"-s3.port={ports['s3']}",
            f"-s3.port.grpc={ports['s3_grpc']}",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-s3.iam=false",
            f"-s3.config={identities}",
        ],
        probe=probes.http(f"http://{layout.address('s3')}/healthz"),
        # It does not end by itself; what it acknowledged is with the kernel, which outlives it.
        grace_seconds=1.0,
    )
