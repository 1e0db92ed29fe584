# One image recipe for all four services: docker build --build-arg SERVICE=epp -f docker/service.Dockerfile .
ARG BASE=python:3.13-slim-trixie

FROM ${BASE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
# What builds our packages, shared by all services and kept out of the final layer.
COPY requirements/build.txt requirements/
RUN python3 -m venv /build && /build/bin/pip install -q --require-hashes -r requirements/build.txt
ARG SERVICE
# Third-party packages: this layer changes only with the lock.
COPY requirements/${SERVICE}.txt requirements/
RUN python3 -m venv --without-pip /app \
 && /build/bin/pip --python /app/bin/python install -q --require-hashes -r requirements/${SERVICE}.txt
COPY libs/gateway libs/gateway
COPY services/${SERVICE} services/${SERVICE}
RUN for package in libs/gateway services/${SERVICE}; do \
      (cd $package && /build/bin/python -m hatchling build -t wheel -d /wheels) || exit 1; done \
 && /build/bin/pip --python /app/bin/python install -q --no-deps --no-index /wheels/*.whl \
 && ln -s ${SERVICE} /app/bin/service \
 && python3 -m compileall -q /app/lib \
 && mkdir /xds

FROM ${BASE}
COPY --from=build /app /app
# Where the control plane writes and Envoy reads: a named volume mounted here takes this owner.
COPY --from=build --chown=65532:65532 /xds /xds
ENV PATH=/app/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
ENTRYPOINT ["/app/bin/service"]
