"""Examination of a plant: faults, their effect on lines, and remedies."""
