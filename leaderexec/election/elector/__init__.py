"""The pod's elector: its client, its stream, its announcements."""
