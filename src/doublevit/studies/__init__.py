"""Studies: recipes that vary one factor each, trained, evaluated alike and compared."""
