"""The command's own output, line by line."""
