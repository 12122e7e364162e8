"""What a network costs on this machine: photos a second, memory, parameters, multiplications."""
