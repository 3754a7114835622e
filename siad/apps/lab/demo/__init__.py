"""The demo: the whole loop on images of solar cells, and a report of what happened."""
