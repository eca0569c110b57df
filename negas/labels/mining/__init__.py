"""From class names to a bank of negative labels: candidates, similarities, selection."""
