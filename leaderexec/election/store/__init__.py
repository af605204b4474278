"""An election in a store that expires entries that are not renewed: etcd, Redis."""
