"""Saved models: writing, evaluating, exporting and summarizing them."""
