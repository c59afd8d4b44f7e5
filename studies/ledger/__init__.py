"""The trial book: the only code that changes a trial's state."""
