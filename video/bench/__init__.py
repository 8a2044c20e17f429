"""Measurements of the readers: hostile files, leaks, forks."""
