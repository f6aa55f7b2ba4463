"""Triton from its wheel: only the server binary and its python backend are used."""

from __future__ import annotations

import os
import shutil
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from deploy.local import probes
from deploy.local.layout import ROOT, Layout, environment_bin
from deploy.local.part import Part
from inference.engine.segmentation.installed import find as find_segmenters

MODELS = ROOT / "inference" / "bundled"
DEFAULT_MODEL = "sdxl"
# Taking down an interpreter with torch needs about 5 s; cut short, its shared memory stays behind.
EXIT_TIMEOUT_SECONDS = 8
LOAD_SECONDS_MAX = 600
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  # where the backend keeps its regions
_ENGINE_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    # On busy cores torch's threads spin for each other: with two of them on two cores beside
    # other work a picture took 2 to 7 s, with one 0.5 s. Without effect on a card.
    "OMP_WAIT_POLICY": "PASSIVE",
    "OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // 2)),
}


def part(
    layout: Layout,
    models: Path = MODELS,
    default_model: str = DEFAULT_MODEL,
    overrides: Mapping[str, str] = MappingProxyType({}),
) -> Part:
    """Describes Triton with our model repository; ready when its models are loaded and warm.

    Args:
        layout: Where everything is.
        models: Folder with one folder per model.
        default_model: The model of requests that name none.
        overrides: Settings that differ from the installation's own.
    """
    backends = _backends(layout)
    site, region = _site_packages(), _region(layout)
    forget_shared_memory(layout)
    ports, address = layout.ports, f"http://{layout.address('triton_http')}"
    return Part(
        name="triton",
        command=[
            str(site / "pytriton" / "tritonserver" / "bin" / "tritonserver"),
            f"--model-repository={ROOT / 'inference' / 'models'}",
            f"--backend-directory={backends}",
            # Explicit, so that the service can load a model anew whose process has died.
            "--model-control-mode=explicit",
            "--load-model=generate",
            *(["--load-model=segment"] if find_segmenters(models) else []),
            # Else the model's process is started twice, the first time only to be asked this.
            "--disable-auto-complete-config",
            f"--backend-config=python,shm-region-prefix-name={region}",
            f"--backend-config=python,stub-timeout-seconds={LOAD_SECONDS_MAX}",
            "--http-address=127.0.0.1",
            f"--http-port={ports['triton_http']}",
            "--grpc-address=127.0.0.1",
            f"--grpc-port={ports['triton_grpc']}",
            "--metrics-address=127.0.0.1",
            f"--metrics-port={ports['triton_metrics']}",
            f"--exit-timeout-secs={EXIT_TIMEOUT_SECONDS}",
        ],
        environment=_environment(site, models, default_model) | dict(overrides),
        probe=probes.http(f"{address}/v2/models/generate/ready"),
        # The server's own word alone: its models' processes are inference's to start anew.
        liveness=probes.http_liveness(f"{address}/v2/health/live"),
        ready_seconds=LOAD_SECONDS_MAX,
    )


def supported() -> bool:
    """Whether Triton's wheel is installed; else the engine runs in the service's own process."""
    return any(environment_bin(".venv-models").parent.glob("lib/python3.*/site-packages/pytriton"))


def inference_part(
    layout: Layout,
    environment: Mapping[str, str],
    models: Path = MODELS,
    default_model: str = DEFAULT_MODEL,
) -> Part:
    """Describes the gRPC service; ready when a picture has passed through it and the engine.

    Args:
        layout: Where everything is.
        environment: What every process of ours is told.
        models: The same as Triton's.
        default_model: The same as Triton's.
    """
    return Part(
        name="inference",
        command=[str(environment_bin(".venv-models") / "python"), "-m", "inference"],
        environment={
            **_ENGINE_ENVIRONMENT,
            "ATELIER_TRITON_GRPC": layout.address("triton_grpc") if supported() else "",
            "ATELIER_MODELS_DIR": str(models),
            **environment,
            "ATELIER_DEFAULT_MODEL": default_model,
        },
        probe=probes.grpc_health(layout.socket("inference")),
        liveness=probes.grpc_liveness(layout.socket("inference")),
        ready_seconds=LOAD_SECONDS_MAX,
    )


def _environment(site: Path, models: Path, default_model: str) -> dict[str, str]:
    # The backend finds the model environment by the first python on PATH; it ignores PYTHONPATH.
    path = [str(environment_bin(".venv-models")), "/usr/local/bin", "/usr/bin", "/bin"]
    libraries = [str(_python_library().parent), str(site / "nvidia_pytriton.libs")]
    return {
        "PATH": ":".join(path),
        "LD_LIBRARY_PATH": ":".join(libraries),
        **_ENGINE_ENVIRONMENT,
        "ATELIER_MODELS_DIR": str(models),
        "ATELIER_DEFAULT_MODEL": default_model,
    }


def _site_packages() -> Path:
    found = sorted(environment_bin(".venv-models").parent.glob("lib/python3.*/site-packages"))
    if not found or not (found[0] / "pytriton").exists():
        raise RuntimeError("nvidia-pytriton is not installed: run make models")
    return found[0]


def _python_library() -> Path:
    """The interpreter as a shared library, which the backend's stub is linked to."""
    folder, name = (sysconfig.get_config_var(key) for key in ("LIBDIR", "INSTSONAME"))
    library = Path(str(folder)) / str(name)
    if ".so" not in library.name or not library.exists():
        raise RuntimeError(f"Triton needs Python as a shared library, and {library} is none")
    return library


def _backends(layout: Layout) -> Path:
    """Puts the python backend and the stub of our Python side by side, as the server wants them."""
    server = _site_packages() / "pytriton" / "tritonserver"
    version = _site_packages().parent.name.removeprefix("python")
    stub = server / "python_backend_stubs" / version / "triton_python_backend_stub"
    backends = layout.data / "triton" / "backends"
    shutil.rmtree(backends, ignore_errors=True)
    shutil.copytree(server / "backends" / "python", backends / "python")
    shutil.copy2(stub, backends / "python" / stub.name)
    return backends


def _region(layout: Layout) -> str:
    """How the names of an installation's regions of shared memory begin."""
    return f"{layout.run.name}-"


def forget_shared_memory(layout: Layout) -> None:
    """Removes what a killed server of this installation left in memory."""
    for left in _SHARED_MEMORY.glob(f"{_region(layout)}*"):
        left.unlink(missing_ok=True)
