"""siad.image.v1 -> siad.pseudo-mask.v1, by the line's teacher; ten normals -> a teacher -> siad.teacher.v1."""
