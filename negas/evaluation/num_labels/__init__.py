"""The number of negative labels, chosen without OOD data."""
