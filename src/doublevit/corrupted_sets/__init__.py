"""Corrupted sets: made on the fly, written to disk, or published; each gives its cells as data sets like any other."""
