"""Labeler: siad.image.v1 -> siad.pseudo-mask.v1, and normals -> a teacher -> siad.teacher.v1."""
