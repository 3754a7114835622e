"""One training run, as a process that works on Ray Train."""
