"""``--leader-label``: the leader's own Pod carries a label while its command runs."""
