"""Pictures from records: curves, boxes."""
