"""Our own attacks, the parts of AutoAttack: Auto-PGD, FAB and Square, each from its paper."""
