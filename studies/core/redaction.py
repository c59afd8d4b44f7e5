"""Hides passwords; see ``mnist_core/console/redaction.py``."""

from mnist_core.console.redaction import masked as masked
