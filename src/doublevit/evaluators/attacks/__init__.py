"""Evaluation under attack: the plan of attacks, its execution batch by batch, the journal, and the rows."""
