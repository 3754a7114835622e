"""Evaluation on folders of images, and the demo."""
