"""Plain data and small pure functions that every other package may use."""
