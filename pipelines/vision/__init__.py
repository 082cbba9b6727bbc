"""Frames: image classifiers and near-duplicates."""
