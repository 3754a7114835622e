"""Pure functions of images, masks and scores; numpy, OpenCV and scipy, no torch and no I/O."""
