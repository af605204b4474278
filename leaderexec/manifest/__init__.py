"""``--manifest``: the Kubernetes objects that fit the options, printed."""
