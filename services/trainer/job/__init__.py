"""What runs inside Ray Train: one training run."""
