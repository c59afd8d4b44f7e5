"""The trial book, which is the only code that changes a trial's state."""
