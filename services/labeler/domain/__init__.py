"""Pure decisions of the labeler."""
