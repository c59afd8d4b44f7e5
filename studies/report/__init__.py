"""What a study found, in a form to read."""
