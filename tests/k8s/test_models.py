"""Models of one's own: the components that an overlay may take."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from kubernetes_validate import validate

from deploy.local.layout import ROOT
from tests.k8s import test_policy as policy
from tests.k8s.rendered import Cluster, Container, overlay

GIB = 1 << 30
# docs/models.md: bytes of all weights, and of the largest part, which lies there twice for a while.
WEIGHTS = {"sdxl": (12.0e9, 5.2e9), "flux": (33.7e9, 23.8e9)}
LIBRARIES_BYTES = 4 * GIB
SENT_COPIES = 3  # of what is on its way to Triton; inference.triton.connection needs its client
SHARED_BYTES = GIB
# What waits in line (WAITING_BYTES_MAX of both engines); rows in flight hold no request's pictures.
WAITING_BYTES = GIB + GIB // 2


def stocked(scratch: Path, *components: str) -> Cluster:
    return overlay(scratch, components)


def unit(cluster: Cluster) -> dict[str, Container]:
    return {each.spec["name"]: each for each in cluster.containers() if "gpu" in each.deployment}


def limit(cluster: Cluster, container: str) -> int:
    said = unit(cluster)[container].spec["resources"]["limits"]["memory"]
    found = re.fullmatch(r"(\d+)Gi", said)
    assert found, said
    return int(found[1]) * GIB


def test_a_volume_of_models_is_read_by_triton_and_inference_and_written_by_neither(
    tmp_path: Path,
) -> None:
    cluster = stocked(tmp_path, "models")
    (claim,) = cluster.all("PersistentVolumeClaim")
    for name in ("triton", "inference"):
        container = unit(cluster)[name]
        folder = container.environment["ATELIER_MODELS_DIR"]
        (mount,) = (each for each in container.spec["volumeMounts"] if each["mountPath"] == folder)
        assert mount["readOnly"] is True
        (volume,) = (each for each in container.pod["volumes"] if each["name"] == mount["name"])
        assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    policy.test_every_object_fits_the_schema_of_its_kind(cluster)
    policy.test_whatever_can_be_written_is_bounded_and_of_the_pod(cluster)
    policy.test_triton_and_inference_are_told_of_the_same_models(cluster)
    policy.test_no_container_has_a_privilege(cluster)


def test_the_base_serves_the_bundled_model_and_claims_no_volume(cluster: Cluster) -> None:
    assert not cluster.all("PersistentVolumeClaim")
    folder = Path(unit(cluster)["triton"].environment["ATELIER_MODELS_DIR"])
    assert (ROOT / folder.relative_to("/opt/atelier") / "sdxl" / "model_index.json").exists()


@pytest.mark.parametrize(
    ("model", "components"), [("sdxl", ("models",)), ("flux", ("models", "flux"))]
)
def test_memory_holds_a_model_while_it_is_loaded(
    model: str, components: tuple[str, ...], tmp_path: Path
) -> None:
    weights, twice = WEIGHTS[model]
    needed = weights + twice + LIBRARIES_BYTES + SHARED_BYTES + WAITING_BYTES
    assert limit(stocked(tmp_path, *components), "triton") > needed


def test_memory_of_inference_holds_what_its_calls_may_hold(cluster: Cluster) -> None:
    from inference.api import applying, asking, budget, segmenting
    from inference.engine.pictures.files import FILE_BYTES_MAX

    reading = asking.READING_MAX * (FILE_BYTES_MAX + asking.READING_BYTES_MAX)
    held = budget.FILES_BYTES_MAX + asking.PICTURES_BYTES_MAX
    sent = 2 * SENT_COPIES * FILE_BYTES_MAX  # by the sampler's connection and the segmenter's
    writing = segmenting.WRITES_MAX * 100_000_000
    bounded = applying.WORKING_BYTES_MAX + reading + held + sent + writing
    assert limit(cluster, "inference") > bounded + GIB // 2


def test_what_fills_the_volume_has_no_privilege_and_mounts_what_the_unit_reads(
    tmp_path: Path,
) -> None:
    filler = yaml.safe_load((ROOT / "k8s" / "components" / "models" / "filler.yaml").read_text())
    validate(filler, "1.37", strict=True)
    (container,), (volume,) = filler["spec"]["containers"], filler["spec"]["volumes"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert filler["spec"]["securityContext"]["runAsNonRoot"] is True
    (claim,) = stocked(tmp_path, "models").all("PersistentVolumeClaim")
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert filler["metadata"]["namespace"] == claim["metadata"]["namespace"]
