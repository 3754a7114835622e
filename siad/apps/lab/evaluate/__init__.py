"""Evaluation of teacher methods on a folder of labelled images."""
