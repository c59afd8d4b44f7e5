"""The parts of ``benchmarks/gpu.py``: programs with a time limit, tables, targets."""
