"""Sweep any configuration keys over tasks: price the sweep, run it with one model, compare its points pairwise."""
