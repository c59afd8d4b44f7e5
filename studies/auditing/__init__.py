"""What other pruners would have saved, or lost, by replaying stored curves."""
