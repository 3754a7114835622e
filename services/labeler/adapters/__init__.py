"""The labeler's ports made real."""
