"""The Python interface: what `import doublevit` offers, each name imported when it is first used."""
