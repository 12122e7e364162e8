"""What the commands do: training and evaluation, from recipe and run folder to results."""
