"""Elections with a Kubernetes Lease (coordination.k8s.io/v1) of our own."""
