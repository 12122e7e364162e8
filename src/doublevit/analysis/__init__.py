"""Analysis of saved results: which scores may be compared, differences, errors. Nothing here decides how it looks."""
