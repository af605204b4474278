#!/bin/sh
# A worker in a shell that waits warm.
#
#     leaderexec --warm --lock-file /tmp/my.lock -- sh worker.sh
#
# Before the line it only prepares itself; nothing that others could see.

trap 'exit 0' TERM
echo prepared

leaderexec --say-ready || exit 1
# Without a line, or with half of one, this replica does not lead: it is to end.
read -r LEAD_TERM LEAD_FENCE <&"$LEADEREXEC_GATE" || exit 0
echo "working in term $LEAD_TERM, fence ${LEAD_FENCE:-none}"

while :; do
    sleep 1 &
    wait "$!"
done
