"""Kinds of caption sources: each file here is one, found by its name; see `Source`."""
