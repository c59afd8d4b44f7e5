"""Search spaces as plain data: no Optuna, no Ray. One SPACE a file."""
