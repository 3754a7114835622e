"""`siad evaluate`: a folder of labelled images in, what a way of fitting is worth out."""
