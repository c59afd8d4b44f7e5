"""The commands of ``python -m mnist_core``, one module each."""
