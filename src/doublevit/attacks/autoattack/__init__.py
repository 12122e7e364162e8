"""The parts of AutoAttack, written from their papers: Auto-PGD, FAB and Square."""
