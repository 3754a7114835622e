"""The lab: measure methods on folders of images, and the demo of the whole loop."""
