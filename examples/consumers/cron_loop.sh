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

# Ending in the trap itself, not by a flag: a TERM between a look at the flag and `wait` would go
# unnoticed for a whole interval. The sleep that is left behind is ended by leaderexec.
trap 'echo "ended"; exit 0' TERM INT

while :; do
    "$@" || echo "the job failed with $?; next run in ${interval}s" >&2
    sleep "$interval" &
    wait $!
done
