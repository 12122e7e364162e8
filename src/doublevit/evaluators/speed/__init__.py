"""What a network costs on this machine: images a second, memory, parameters, multiplications."""
