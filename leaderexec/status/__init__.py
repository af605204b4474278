"""What is known of a running wrapper, for people and programs."""
