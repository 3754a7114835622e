"""`siad routine`: the paper's own routine on a folder of images, in one process without broker or store."""
