"""Pure decisions of the trainer."""
