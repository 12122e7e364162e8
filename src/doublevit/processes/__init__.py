"""Several processes that share one command: what started them, how they join, watch one another, and end together."""
