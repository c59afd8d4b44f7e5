"""The phases of a study: search, confirm, hold-out; forks and fresh starts."""
