"""An election in ZooKeeper, as a plug-in of leaderexec."""
