"""Bilinear token thresholding: resample a crop of a map of tokens, kept as tiles, to fewer rows and columns."""
