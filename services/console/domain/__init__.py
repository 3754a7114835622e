"""Pure decisions of the console."""
