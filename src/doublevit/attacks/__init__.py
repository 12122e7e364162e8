"""Attacks, which move images within a ball and [0, 1], and checks that expose broken evaluations."""
