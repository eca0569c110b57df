"""Objects rather than boxes: what became of each, OSCR, open-set and open-world numbers."""
