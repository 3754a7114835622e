"""Pure decisions of inference: which weights judge, and what a verdict contains."""
