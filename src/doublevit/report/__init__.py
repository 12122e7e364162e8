"""What is read from results: analyses, tables, plots. Nothing here imports torch: reports can be made anywhere."""
