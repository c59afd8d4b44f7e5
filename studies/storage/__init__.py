"""Where studies are kept: SQLite, PostgreSQL and journal files; who may write to them."""
