"""What a running leaderexec is asked on its own machine, by its own user."""
