"""One training: steps, schedules, optimizers, its state and result."""
