"""Pool the tokens of frames by a stride: mean of blocks, largest of blocks, or bilinear."""
