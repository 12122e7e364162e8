"""How a model stands up to corruptions: measurements of cells, and what they say together."""
