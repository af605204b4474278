#!/bin/sh
# Runs a job periodically, on the leader only.
#
#     leaderexec -- sh cron_loop.sh 3600 ./report --all
#
# A running job is finished, within leaderexec's --grace and --grace-lost: the shell acts on TERM
# only when the job has exited. A job that fails is reported and runs again at its next turn; the loop
# goes on. The first run is at the start of a term, so a job must tolerate being run again early.
set -u
interval=$1
shift

trap 'echo "ended"; exit 0' TERM INT

while :; do
    "$@" || echo "the job failed with $?; next run in ${interval}s" >&2
    next=$(($(date +%s) + interval))
    # Short sleeps in the foreground, so that a stop takes at most a second and leaves no process.
    # The usual `sleep & wait` does leave one, and a TERM sent to it before its exec is swallowed by
    # the shell's own handler: then only the KILL after the whole grace period terminates it.
    while [ "$(date +%s)" -lt "$next" ]; do
        sleep 1
    done
done
