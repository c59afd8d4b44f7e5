"""Writing files whole or not at all: the trainer's way of it, for the studies."""

from mnist_core.files import write_atomically

__all__ = ["write_atomically"]
