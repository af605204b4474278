"""A development elector: the elector's protocol on a laptop, with leadership moved by hand."""
