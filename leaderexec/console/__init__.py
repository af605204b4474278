"""The questions that are asked in a terminal, and their answers."""
