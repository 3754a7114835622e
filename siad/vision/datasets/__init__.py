"""Data sets in the formats of other tools.

COCO, Pascal VOC, YOLO, mask PNG and MVTec. Each format has a writer. It takes one sample after another and returns the
files of that sample, so that a set of any size is written in bounded memory. What belongs into one file at the end is
returned in rows, which the caller keeps in files.
"""
