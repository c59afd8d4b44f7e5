"""Two trained models side by side."""
