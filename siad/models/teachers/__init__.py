"""Teachers: detectors fitted on normals alone."""
