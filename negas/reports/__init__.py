"""Tables and pages of finished runs: a vocabulary of columns, and who prints it."""
