"""Erases captures and lines on request, and expires objects by age."""
