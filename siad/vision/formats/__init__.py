"""Image files: one reader a format, each with ``read_header`` and ``decode``.

A reader gives right pixels or refuses the file. It reports what the file holds; what is done with alpha, depth and
orientation is decided once for all formats, in ``siad.vision.images``.
"""
