#!/bin/sh
# Something every so often, on one replica:
#
#   leaderexec -- every.sh 60 ./report
#
# sleep runs in the background, so that TERM is acted on at once (a shell waits for what it runs).
set -eu
seconds=$1
shift
trap 'exit 0' TERM
while :; do
    "$@" || echo "every.sh: $1 ended with $?" >&2
    sleep "$seconds" &
    wait $!
done
