"""Whether the command does its work: the probes, and the meaning of their results."""
