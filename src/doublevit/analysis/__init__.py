"""What is read from results: what may be compared, scores, differences, errors. Nothing here decides how it looks."""
