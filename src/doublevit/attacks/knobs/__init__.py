"""The parameters of attacks, typed, with their defaults. No torch here."""
