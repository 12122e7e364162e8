"""Attacks: (model, images, epsilon) -> images in that ball and in [0, 1]; and checks that expose broken evaluations."""
