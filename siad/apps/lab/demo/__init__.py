"""The demo: the whole loop on images of solar cells."""
