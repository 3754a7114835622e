"""The paper's routine on a folder: teacher, pseudo-masks, segmenter, test."""
