"""Hosts, clusters and supervisors for ``benchmarks/scale.py``."""
