"""An election in a store that itself forgets whoever does not renew: etcd, Redis."""
