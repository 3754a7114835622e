"""Pure decisions of inference: which weights judge, what a verdict says."""
