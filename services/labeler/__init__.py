"""Labeler: siad.image.v1 -> siad.pseudo-mask.v1, and normals -> a teacher -> siad.teacher.v1.

It also carries out siad.command.v1: holds of learning, and rollbacks of teachers.
"""
