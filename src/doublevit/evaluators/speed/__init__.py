"""Cost of a network on this machine: images a second, memory, parameters, multiply-accumulate operations."""
