"""Released weights: what they are called, where they are, how they get here."""
