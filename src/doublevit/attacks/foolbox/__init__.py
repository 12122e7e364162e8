"""Foolbox's attacks by name."""
