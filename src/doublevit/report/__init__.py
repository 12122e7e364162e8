"""Results as tables, plots, galleries and a page. What is compared with what is decided in `analysis`."""
