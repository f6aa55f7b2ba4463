"""What `kubectl kustomize` makes of an overlay, with its references followed."""

from __future__ import annotations

import base64
import importlib
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy import keys
from deploy.local.layout import ROOT
from kit.config import Settings

OVERLAY = "overlays/single-node"
NAME = "app.kubernetes.io/name"
Object = dict[str, Any]


def render(folder: Path) -> list[Object]:
    """Renders a kustomization; skips the test where there is no kubectl."""
    if not (kubectl := shutil.which("kubectl")):
        pytest.skip("NOT TESTED: kubectl is not on PATH, so k8s/ is neither rendered nor checked")
    done = subprocess.run(
        [kubectl, "kustomize", str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    # kubectl warns on standard error of what will not be rendered so for ever.
    assert not done.stderr, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def overlay(scratch: Path, components: Sequence[str] = ()) -> Cluster:
    """Renders the overlay of one node, with secrets made as its file says."""
    shutil.copytree(ROOT / "k8s", scratch / "k8s")
    keys.make(scratch / "k8s" / OVERLAY / "secrets", "192.0.2.10:5432")
    if components:
        taken = "".join(f"  - ../../components/{each}\n" for each in components)
        with (scratch / "k8s" / OVERLAY / "kustomization.yaml").open("a") as file:
            file.write(f"components:\n{taken}")
    return Cluster(render(scratch / "k8s" / OVERLAY))


@dataclass(frozen=True)
class Container:
    """One container of a Deployment.

    Attributes:
        pod: The spec of its pod.
        spec: Its own spec.
        environment: Its variables, references followed; what the pod itself says is "from the pod".
    """

    deployment: str
    pod: Object = field(repr=False)
    spec: Object = field(repr=False)
    environment: dict[str, str] = field(repr=False)

    @property
    def name(self) -> str:
        return f"{self.deployment}/{self.spec['name']}"

    @property
    def module(self) -> str:
        """The module of ours that it runs; empty where it runs something else."""
        command = self.spec["command"]
        return command[2] if command[:2] == ["python", "-m"] else ""

    @property
    def settings(self) -> type[Settings]:
        """The class of settings that its process reads."""
        config = importlib.import_module(f"{self.module}.config")
        (found,) = (
            each
            for each in vars(config).values()
            if isinstance(each, type)
            and issubclass(each, Settings)
            and each.__module__ == config.__name__
        )
        return found

    @property
    def probes(self) -> dict[str, Object]:
        kinds = ("startupProbe", "readinessProbe", "livenessProbe")
        return {kind: self.spec[kind] for kind in kinds if kind in self.spec}

    @property
    def seconds_to_end(self) -> float:
        """How long it may take to end when it is told to."""
        wait = self.spec.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        if self.module:
            told = {
                name.removeprefix("ATELIER_").lower(): value
                for name, value in self.environment.items()
            }
            fields = self.settings.model_fields
            both = ("drain_seconds", "grace_seconds")
            return wait + sum(float(told.get(name, fields[name].default)) for name in both)
        options = [each for each in self.spec["command"] if each.startswith("--exit-timeout-secs=")]
        return wait + sum(float(each.partition("=")[2]) for each in options)


@dataclass(frozen=True)
class Cluster:
    """Every object of an overlay."""

    objects: list[Object] = field(repr=False)

    def all(self, kind: str) -> list[Object]:
        return [each for each in self.objects if each["kind"] == kind]

    def get(self, kind: str, name: str) -> Object:
        """Returns an object by name.

        Raises:
            LookupError: There is none.
        """
        for each in self.all(kind):
            if each["metadata"]["name"] == name:
                return each
        raise LookupError(f"{kind} {name} does not exist")

    def data(self, kind: str, name: str) -> dict[str, str]:
        """Returns what a ConfigMap or a Secret holds, as text."""
        held: dict[str, str] = self.get(kind, name).get("data", {})
        if kind == "Secret":
            return {key: base64.b64decode(value).decode() for key, value in held.items()}
        return held

    def containers(self) -> Iterator[Container]:
        """Yields every container of every Deployment, sidecars first."""
        for deployment in self.all("Deployment"):
            pod = deployment["spec"]["template"]["spec"]
            for spec in [*pod.get("initContainers", []), *pod["containers"]]:
                name = deployment["metadata"]["name"]
                yield Container(name, pod, spec, self._environment(spec))

    def files(self, container: Container, volume: str) -> dict[str, str]:
        """Returns the files that a volume of ConfigMaps and Secrets shows to a container."""
        (found,) = (each for each in container.pod["volumes"] if each["name"] == volume)
        shown: dict[str, str] = {}
        for source in found["projected"]["sources"] if "projected" in found else [found]:
            if "configMap" in source:
                shown |= self.data("ConfigMap", source["configMap"]["name"])
            elif "secret" in source:
                shown |= self.data(
                    "Secret", source["secret"].get("name") or source["secret"]["secretName"]
                )
        return shown

    def _environment(self, spec: Object) -> dict[str, str]:
        variables: dict[str, str] = {}
        for source in spec.get("envFrom", []):
            kind = "ConfigMap" if "configMapRef" in source else "Secret"
            (reference,) = source.values()
            variables |= self.data(kind, reference["name"])
        for each in spec.get("env", []):
            variables[each["name"]] = each["value"] if "value" in each else self._referred(each)
        return variables

    def _referred(self, variable: Object) -> str:
        source = variable["valueFrom"]
        if "fieldRef" in source:
            return "from the pod"
        kind = "ConfigMap" if "configMapKeyRef" in source else "Secret"
        (reference,) = source.values()
        return self.data(kind, reference["name"])[reference["key"]]
