"""What may be set: the option table, how it is read, and what it comes to."""
