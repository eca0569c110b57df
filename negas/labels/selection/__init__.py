"""How negatives are chosen from candidates: one method per file."""
