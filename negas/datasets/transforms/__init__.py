"""Transforms for MMDetection pipelines."""
