"""What a run leaves behind: its folder, rows of results with predictions beside them, checkpoints."""
