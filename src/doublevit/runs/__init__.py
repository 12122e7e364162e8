"""Files of a run: its folder, rows of results with predictions beside them, checkpoints."""
