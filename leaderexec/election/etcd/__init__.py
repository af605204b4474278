"""etcd as an election, by the JSON gateway of its v3 interface."""
