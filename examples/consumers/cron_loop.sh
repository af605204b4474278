#!/bin/sh
# Runs a job every so many seconds, on the leader only.
#
#     leaderexec -- sh cron_loop.sh 3600 ./report --all
#
# A job in hand is finished, within leaderexec's --grace and --grace-lost: the shell acts on TERM
# only when the job has ended. A job that fails is told and tried again at its next turn, and ends
# nothing. The first run is at the start of a term, so a job must bear being run again early.
set -u
interval=$1
shift

trap 'echo "ended"; exit 0' TERM INT

while :; do
    "$@" || echo "the job failed with $?; next run in ${interval}s" >&2
    next=$(($(date +%s) + interval))
    # In short sleeps, each waited for, so that a stop comes within a second and leaves no process.
    # The usual `sleep & wait` does leave one, and a TERM sent to that one before its exec is
    # swallowed by the shell's own handler: then only the KILL after the whole grace ends it.
    while [ "$(date +%s)" -lt "$next" ]; do
        sleep 1
    done
done
