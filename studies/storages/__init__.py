"""Where studies are kept: SQLite, PostgreSQL, Optuna journals; who may write, moving them."""
