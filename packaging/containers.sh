#!/bin/sh
# Build the images for `make containers` without an image registry: base images from Debian's
# packages (mmdebstrap), the Dockerfile's targets with buildah, all in podman's storage.
#
# Requires mmdebstrap, buildah, podman, runc and catatonit, and root. PIP_CONF and CA are paths of files
# for a package mirror.
set -eu
cd "$(dirname "$0")/.."

missing=
for tool in mmdebstrap buildah podman runc catatonit; do
    command -v "$tool" >/dev/null || missing="$missing $tool"
done
if [ -n "$missing" ]; then
    echo "make containers needs:$missing (Debian: apt-get install$missing)" >&2
    exit 1
fi
if [ "$(id -u)" != 0 ]; then
    echo "make containers makes base images from Debian's packages, and must be run by root" >&2
    exit 1
fi
suite=${SUITE:-bookworm}
export BUILDAH_ISOLATION="${BUILDAH_ISOLATION:-chroot}"

# Through a file: in a pipe only the last program's failure would be noticed, and an empty image built.
archive=$(mktemp)
trap 'rm -f "$archive"' EXIT
trap 'exit 1' HUP INT TERM

base() {
    name=localhost/leaderexec-test:$1
    shift
    size=$(podman image inspect --format '{{.Size}}' "$name" 2>/dev/null) || size=0
    # An image without a system in it was left by a failed import.
    if [ "$size" -lt 1000000 ]; then
        echo "base image $name"
        mmdebstrap --quiet --format=tar "$@" "$suite" "$archive"
        podman import --quiet "$archive" "$name"
    fi
}

base plain --variant=essential
base python --variant=essential --include=python3
base builder --variant=apt --include=python3,python3-venv,gcc,libc6-dev

build() {
    echo "target $2"
    buildah bud --quiet --layers --network host --target "$2" --tag "localhost/leaderexec-test:$1" \
        ${PIP_CONF:+--secret "id=pip,src=$PIP_CONF"} ${CA:+--secret "id=ca,src=$CA"} \
        --build-arg BASE=localhost/leaderexec-test:python \
        --build-arg BUILDER=localhost/leaderexec-test:builder \
        --build-arg PYTHON=localhost/leaderexec-test:builder \
        --build-arg COMPILER=localhost/leaderexec-test:builder .
}

build image image
build binary binary
buildah bud --quiet --tag localhost/leaderexec-test:with-binary \
    --build-arg BASE=localhost/leaderexec-test:plain \
    --build-arg LEADEREXEC=localhost/leaderexec-test:binary --target without-python \
    --file examples/base-image/Dockerfile examples/base-image
