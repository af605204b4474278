"""Whether the command does its work: what is asked of it, and what the answers mean."""
