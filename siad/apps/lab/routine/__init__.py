"""The paper's routine on a folder: teacher, pseudo-masks, segmenter, both tested on unseen images."""
