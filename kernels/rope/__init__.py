"""Rotate queries and keys by their positions, both in one pass, in place where asked."""
