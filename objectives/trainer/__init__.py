"""The package's trainer as a study's objective: its settings, checks, facts and test."""
