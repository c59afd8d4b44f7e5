"""Studies: what is run, and everything that knows of Optuna and Ray."""
