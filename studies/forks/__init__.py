"""Studies that go on under a name of their own, with changed settings."""
