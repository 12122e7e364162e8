"""Corrupted sets, made on the fly, written to disk, or published; each provides its cells as data sets."""
