"""How good a model is on a split: plain results, without torch."""
