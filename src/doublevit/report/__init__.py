"""How results look: tables, plots, galleries, the page. What is compared with what is decided in `analysis`."""
