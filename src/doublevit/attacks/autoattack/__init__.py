"""AutoAttack: Auto-PGD, FAB and Square, each from its paper."""
