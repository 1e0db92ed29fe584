# One image recipe for all four services, and for every platform of its base:
# docker build --build-arg SERVICE=epp -f docker/service.Dockerfile .
# Its layers are the same, bit by bit, whenever and wherever the same commit is built on the same base.
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
 && /build/bin/pip --python /app/bin/python install -q --no-compile --require-hashes -r requirements/${SERVICE}.txt
COPY libs/gateway libs/gateway
COPY services/${SERVICE} services/${SERVICE}
# `make images` gives the time of the commit; no file has that of its build.
ARG SOURCE_DATE_EPOCH=1577836800
ENV SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH}
RUN for package in libs/gateway services/${SERVICE}; do \
      (cd $package && /build/bin/python -m hatchling build -t wheel -d /wheels) || exit 1; done \
 && /build/bin/pip --python /app/bin/python install -q --no-compile --no-deps --no-index /wheels/*.whl \
 && ln -s ${SERVICE} /app/bin/service \
 && PYTHONHASHSEED=0 python3 -m compileall -qf --invalidation-mode unchecked-hash /app/lib \
 && /build/bin/cyclonedx-py environment --output-reproducible -o /app/sbom.cdx.json /app/bin/python \
 && mkdir -p /files /writable/xds && mv /app /files \
 && find /files /writable -exec touch --no-dereference --date=@${SOURCE_DATE_EPOCH} {} +

FROM ${BASE}
COPY --from=build /files /
# Where the control plane writes and Envoy reads: a named volume mounted here takes this owner.
COPY --from=build --chown=65532:65532 /writable /
ENV PATH=/app/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
ENTRYPOINT ["/app/bin/service"]
ARG SERVICE
ARG VERSION=dev
ARG REVISION=
ARG CREATED=
LABEL org.opencontainers.image.title=pointsman-${SERVICE} \
      org.opencontainers.image.description="Pointsman, an inference gateway: ${SERVICE}" \
      org.opencontainers.image.version=${VERSION} \
      org.opencontainers.image.revision=${REVISION} \
      org.opencontainers.image.created=${CREATED} \
      org.opencontainers.image.licenses=Apache-2.0
