"""Studies: recipes that vary one factor each, trained, measured alike and compared."""
