"""Samplers and other tools on the same functions; for ``benchmarks/optimizers.py``."""
