"""What is to be known of a data set before training on it: duplicates, odd files, imbalance. Needs no torch."""
