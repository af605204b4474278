"""The Kubernetes Lease (coordination.k8s.io/v1) as an election of our own."""
