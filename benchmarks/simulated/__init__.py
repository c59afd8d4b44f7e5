"""Searches in virtual time over recorded trainings; for ``benchmarks/search.py``."""
