"""Rows and machinery of the side-by-side table of container inits."""
