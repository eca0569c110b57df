"""An image-level comparison from images to a table: options, sets, features, methods, scores."""
