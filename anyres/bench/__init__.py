"""Measurements of what opens media."""
