"""A page on which a person draws, and sees what a trained model says of it."""
