#!/usr/bin/env bash
# Installs torch into the environment of the given python. The CPU build is taken where there is no
# NVIDIA GPU and pip can find it; else the registry's build, which brings its CUDA packages.
set -euo pipefail
python=$1
pip() { "$python" -m pip install -qq --disable-pip-version-check --require-hashes -r "$1"; }

if ! command -v nvidia-smi >/dev/null 2>&1; then
  echo "install: torch, CPU build (about 200 MB to fetch)"
  if complaint=$(pip requirements-torch-cpu.lock 2>&1); then exit 0; fi
  echo "install: pip cannot install the CPU build of torch:"
  grep ERROR <<<"$complaint" | sed 's/^/  /'
  echo "install: README.md says how to point pip at it"
fi
echo "install: torch with its CUDA packages (about 3 GB to fetch)"
pip requirements-torch-cuda.lock
