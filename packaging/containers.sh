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
# For the recipes of docs/images.md: a JVM, and what programs for images without Debian are made with.
base java --variant=essential --include=default-jdk-headless
base tools --variant=essential --include=gcc,libc6-dev,musl-tools,busybox-static

# All files of a layer get this time.
time=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)

build() {
    tag=$1
    target=$2
    shift 2
    echo "image $tag"
    buildah bud --quiet --network host --timestamp "$time" \
        --target "$target" --tag "localhost/leaderexec-test:$tag" "$@"
}

own() {
    build "$1" "$2" ${PIP_CONF:+--secret "id=pip,src=$PIP_CONF"} ${CA:+--secret "id=ca,src=$CA"} \
        --build-arg BASE=localhost/leaderexec-test:python \
        --build-arg BUILDER=localhost/leaderexec-test:builder \
        --build-arg PYTHON=localhost/leaderexec-test:builder \
        --build-arg COMPILER=localhost/leaderexec-test:builder \
        --build-arg REVISION="$revision" .
}

# Twice, for tests/container to compare the digests: without --layers nothing is cached.
for target in image binary; do
    own "$target" "$target"
    own "$target-again" "$target"
done
build with-binary without-python \
    --build-arg BASE=localhost/leaderexec-test:plain \
    --build-arg LEADEREXEC=localhost/leaderexec-test:binary \
    --file examples/base-image/Dockerfile examples/base-image
for app in distroless-app alpine-app java-app; do
    build "$app" "$app" \
        --build-arg TOOLS=localhost/leaderexec-test:tools \
        --build-arg JAVA=localhost/leaderexec-test:java \
        --file tests/container/apps/Dockerfile tests/container/apps
done
