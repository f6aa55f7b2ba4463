"""What every object of k8s/ must be, held against what `kubectl kustomize` makes of it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from kubernetes_validate import SchemaNotFoundError, ValidationError, validate

from deploy.local.layout import ROOT
from kit.config import load
from tests.k8s.rendered import NAME, Cluster, Container, render
from workflow.specs import Pool

# What a process needs beside what it was told: to close files, to be scheduled at all.
SPARE_SECONDS = 5
# Read by torch and by the Hugging Face libraries.
ENGINE_VARIABLES = {"HF_HUB_OFFLINE", "OMP_WAIT_POLICY", "OMP_NUM_THREADS", "HOME"}
PROBES = {"startupProbe", "readinessProbe", "livenessProbe"}


def test_every_object_fits_the_schema_of_its_kind(cluster: Cluster) -> None:
    for each in cluster.objects:
        validate(each, "1.37", strict=True)


def test_a_misspelt_field_and_an_unknown_kind_do_not_pass(cluster: Cluster) -> None:
    deployment = cluster.get("Deployment", "accounts")
    with pytest.raises(SchemaNotFoundError):
        validate(deployment | {"kind": "Deploymint"}, "1.37", strict=True)
    template = deployment["spec"]["template"]
    pod = template["spec"] | {"terminationGracePeriodSecond": 30}
    spec = deployment["spec"] | {"template": template | {"spec": pod}}
    with pytest.raises(ValidationError, match="terminationGracePeriodSecond"):
        validate(deployment | {"spec": spec}, "1.37", strict=True)


def test_the_base_renders_alone_and_names_no_secret() -> None:
    kinds = {each["kind"] for each in render(ROOT / "k8s" / "base")}
    assert "Deployment" in kinds
    assert "Secret" not in kinds


def test_every_process_and_every_pool_has_a_deployment(cluster: Cluster) -> None:
    modules = {each.module for each in cluster.containers()}
    services = {
        f"services.{path.parent.name}" for path in (ROOT / "services").glob("*/__main__.py")
    }
    assert modules - {""} == services | {"gateway", "inference"}
    pools = {
        deployment["metadata"]["labels"].get("atelier/pool"): deployment["metadata"]["name"]
        for deployment in cluster.all("Deployment")
    }
    assert set(pools) - {None} == set(Pool)
    for each in cluster.containers():
        if each.module == "services.worker":
            assert pools[each.environment["ATELIER_POOLS"]] == each.deployment


def test_every_container_has_the_three_probes_of_its_kind(cluster: Cluster) -> None:
    for each in cluster.containers():
        assert set(each.probes) == PROBES, each.name
        for kind, probe in each.probes.items():
            assert _asks(each) in probe, (each.name, kind)
            assert probe["timeoutSeconds"] <= probe["periodSeconds"], (each.name, kind)
        if _asks(each) == "grpc":
            # Whoever only waits for another is not restarted for it.
            assert each.probes["livenessProbe"]["grpc"]["service"] == "live", each.name
            assert "service" not in each.probes["readinessProbe"]["grpc"], each.name


def _asks(container: Container) -> str:
    return {"gateway": "httpGet", "": "exec"}.get(container.module, "grpc")


def test_probes_ask_where_the_process_listens(cluster: Cluster) -> None:
    for each in cluster.containers():
        told = each.environment
        for kind, probe in each.probes.items():
            if "grpc" in probe:
                assert told["ATELIER_LISTEN"] == f"0.0.0.0:{probe['grpc']['port']}", (
                    each.name,
                    kind,
                )
            elif "httpGet" in probe:
                assert told["ATELIER_HTTP_HOST"] == "0.0.0.0", each.name
                assert told["ATELIER_HTTP_PORT"] == str(probe["httpGet"]["port"]), (each.name, kind)
            else:
                url = urlsplit(probe["exec"]["command"][-1])
                assert f"--http-port={url.port}" in each.spec["command"], (each.name, kind)
                assert f"--http-address={url.hostname}" in each.spec["command"], (each.name, kind)


def test_services_lead_to_a_port_that_a_container_of_theirs_opens(cluster: Cluster) -> None:
    for service in cluster.all("Service"):
        name = service["spec"]["selector"][NAME]
        (container,) = (each for each in cluster.containers() if each.deployment == name)
        ports = {port["name"] for port in container.spec["ports"]}
        for port in service["spec"]["ports"]:
            assert port["targetPort"] in ports, name
            # A client of gRPC balances by itself, and has to see every replica.
            assert (service["spec"].get("clusterIP") == "None") == (port["name"] == "grpc"), name


def test_no_container_has_a_privilege(cluster: Cluster) -> None:
    for each in cluster.containers():
        own, pod = each.spec["securityContext"], each.pod["securityContext"]
        assert own["allowPrivilegeEscalation"] is False, each.name
        assert own["readOnlyRootFilesystem"] is True, each.name
        assert own["capabilities"] == {"drop": ["ALL"]}, each.name
        assert "privileged" not in own, each.name
        assert pod["runAsNonRoot"] is True, each.name
        assert pod["runAsUser"] == 10001, each.name
        assert pod["seccompProfile"] == {"type": "RuntimeDefault"}, each.name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(each.pod), each.name
        assert each.pod["automountServiceAccountToken"] is False, each.name
        account = cluster.get("ServiceAccount", each.pod["serviceAccountName"])
        assert account["automountServiceAccountToken"] is False, each.name


def test_whatever_can_be_written_is_bounded_and_of_the_pod(cluster: Cluster) -> None:
    for each in cluster.containers():
        volumes = {volume["name"]: volume for volume in each.pod["volumes"]}
        mounted = {mount["mountPath"]: mount for mount in each.spec["volumeMounts"]}
        assert "/tmp" in mounted, each.name
        for mount in mounted.values():
            if mount.get("readOnly"):
                continue
            assert "sizeLimit" in volumes[mount["name"]]["emptyDir"], (each.name, mount["name"])


def test_every_container_says_what_it_needs_and_may_take(cluster: Cluster) -> None:
    for each in cluster.containers():
        requests, limits = (each.spec["resources"][kind] for kind in ("requests", "limits"))
        assert {"cpu", "memory"} <= set(requests), each.name
        assert {"cpu", "memory"} <= set(limits), each.name
        card = "nvidia.com/gpu"
        assert requests.get(card) == limits.get(card), each.name
        assert (card in limits) == (each.spec["name"] == "triton"), each.name


def test_a_pod_is_given_the_time_that_its_containers_take_one_after_another(
    cluster: Cluster,
) -> None:
    for deployment in cluster.all("Deployment"):
        name = deployment["metadata"]["name"]
        units = [each for each in cluster.containers() if each.deployment == name]
        needed = sum(each.seconds_to_end for each in units) + SPARE_SECONDS
        given = deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
        assert given >= needed, name


def test_the_gpu_unit_starts_triton_first_and_ends_it_last(cluster: Cluster) -> None:
    pod = cluster.get("Deployment", "worker-gpu")["spec"]["template"]["spec"]
    assert [each["name"] for each in pod["initContainers"]] == ["triton", "inference"]
    assert {each["restartPolicy"] for each in pod["initContainers"]} == {"Always"}
    assert [each["name"] for each in pod["containers"]] == ["worker"]
    # A preStop of a sidecar would run at once, beside the worker's last picture.
    assert not any("lifecycle" in each for each in pod["initContainers"])


def test_settings_are_accepted_by_the_process_that_reads_them(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    for each in (each for each in cluster.containers() if each.module):
        for name in [name for name in os.environ if name.startswith("ATELIER_")]:
            monkeypatch.delenv(name)
        for name, value in each.environment.items():
            monkeypatch.setenv(name, value)
        try:
            load(each.settings)
        except SystemExit:
            pytest.fail(f"{each.name} refuses its settings (see standard error)")
        for name in each.environment:
            monkeypatch.delenv(name)


def test_no_variable_is_set_that_nothing_reads(cluster: Cluster) -> None:
    for each in cluster.containers():
        known = _variables_of_triton() | ENGINE_VARIABLES if not each.module else set()
        if each.module:
            known = {f"ATELIER_{name.upper()}" for name in each.settings.model_fields}
        if each.module == "inference":
            known |= ENGINE_VARIABLES
        assert set(each.environment) <= known, each.name


def _variables_of_triton() -> set[str]:
    found: set[str] = set()
    engine = ROOT / "inference"
    shared = [engine / "engine" / "opening.py", engine / "triton" / "serving.py"]
    for source in [*shared, *(engine / "models").glob("*/*/model.py")]:
        named = r'environ(?:ment)?(?:\.get\(|\[)"(\w+)"'
        found |= set(re.findall(named, source.read_text()))
    return found


def test_triton_and_inference_are_told_of_the_same_models(cluster: Cluster) -> None:
    told = {each.spec["name"]: each.environment for each in cluster.containers()}
    for name in ("ATELIER_MODELS_DIR", "ATELIER_DEFAULT_MODEL"):
        assert told["triton"][name] == told["inference"][name]


def test_who_signs_has_its_own_key_and_nobody_elses(cluster: Cluster) -> None:
    signers = {
        "services.accounts": "accounts",
        "services.jobs": "jobs",
        "services.worker": "worker",
    }
    for each in (each for each in cluster.containers() if each.module):
        path = each.environment["ATELIER_KEYS_DIR"]
        (mount,) = (mount for mount in each.spec["volumeMounts"] if mount["mountPath"] == path)
        own = {f"{signers[each.module]}.pem"} if each.module in signers else set()
        assert set(cluster.files(each, mount["name"])) == {"jwks.json"} | own, each.name


def test_the_source_names_every_process_that_signs() -> None:
    """What the test above takes for granted."""
    signing = set()
    for path in [*(ROOT / "services").glob("*/__main__.py"), *ROOT.glob("*/__main__.py")]:
        if "Signer(" in path.read_text():
            signing.add(path.parent.name)
    assert signing == {"accounts", "jobs", "worker"}


def test_every_deployment_can_be_drained_from_a_node(cluster: Cluster) -> None:
    budgets = {
        each["spec"]["selector"]["matchLabels"][NAME]: each["spec"]
        for each in cluster.all("PodDisruptionBudget")
    }
    for deployment in cluster.all("Deployment"):
        name = deployment["metadata"]["name"]
        assert budgets.pop(name)["maxUnavailable"] == 1, name
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        assert deployment["spec"]["selector"]["matchLabels"] == {NAME: name} == {NAME: labels[NAME]}
        spread = deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]
        keys = {each["topologyKey"] for each in spread}
        assert keys == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}, name
        for each in spread:
            assert each["labelSelector"]["matchLabels"].items() <= labels.items(), name
            assert NAME in each["matchLabelKeys"], name
    assert not budgets


def test_images_are_named_by_tag_in_the_base_and_by_digest_in_the_overlay(cluster: Cluster) -> None:
    for each in cluster.containers():
        assert re.fullmatch(r"\S+:[\w.]+@sha256:[0-9a-f]{64}", each.spec["image"]), each.name
    for path in (ROOT / "k8s" / "base").glob("*.yaml"):
        for image in re.findall(r"image: (\S+)", path.read_text()):
            name, _, tag = image.partition(":")
            assert re.fullmatch(r"\d+\.\d+\.\d+", tag), (path.name, image)
            docker = ROOT / "deploy" / "docker" / f"{name.removeprefix('atelier/')}.Dockerfile"
            assert docker.exists(), image


def test_no_secret_stands_in_the_tree() -> None:
    for path in (ROOT / "k8s").rglob("*.yaml"):
        if "secrets" in path.parts:
            continue
        for each in yaml.safe_load_all(path.read_text()):
            assert not (isinstance(each, dict) and each.get("kind") == "Secret"), path
    assert "secrets/" in Path(ROOT / "k8s" / ".gitignore").read_text().split()
