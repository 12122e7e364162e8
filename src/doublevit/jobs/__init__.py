"""The work behind the commands: training and evaluation, from recipe and run folder to results."""
