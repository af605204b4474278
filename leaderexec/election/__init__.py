"""Where leadership comes from. Each source puts events into the inbox and decides nothing."""
