#!/usr/bin/env bash
# Installs torch into the environment of the given python. The CPU build is taken where there is no
# NVIDIA GPU and pip can find it; else the registry's build, which brings its CUDA packages.
set -euo pipefail
python=$1
pip() { "$python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$1"; }

if ! command -v nvidia-smi >/dev/null 2>&1; then
  echo "install: torch, CPU build (about 200 MB to fetch)"
  if pip requirements-torch-cpu.lock 2>/dev/null; then exit 0; fi
  echo "install: pip finds no CPU build of torch; README.md says how to point it at one"
fi
echo "install: torch with its CUDA packages (about 3 GB to fetch)"
pip requirements-torch-cuda.lock
