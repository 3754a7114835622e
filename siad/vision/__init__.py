"""Pure functions of images, masks and scores.

They use numpy, OpenCV and scipy, but neither torch nor I/O.
"""
