"""Pure decisions: when to train, on what, and whether a candidate may serve."""
