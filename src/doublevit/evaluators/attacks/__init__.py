"""How a model stands up to attacks: what is attacked in which order, kept as it comes, and what it says together."""
