"""The lab: evaluation of methods on folders, and the demo."""
