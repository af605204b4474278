"""The pure part: no I/O, no clock, no thread. Time is a number that the caller hands in."""
