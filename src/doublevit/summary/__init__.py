"""Tables for the terminal: what trains (training), and what came out (results, attacks)."""
