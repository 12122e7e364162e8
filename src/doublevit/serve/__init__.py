"""A model as a page and an API on this machine: `doublevit serve`."""
