"""The trial book: what happened in a study, who may write it down, and how it is read."""
