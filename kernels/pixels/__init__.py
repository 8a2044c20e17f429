"""Pixels on a CPU in compiled loops: PIL's bicubic resize, bit for bit, and the normalisation of tiles."""
