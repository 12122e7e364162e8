"""What a check of a data set found, as a page with pictures and as a list of files."""
