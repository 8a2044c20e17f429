"""Evaluate a model on tasks: samples and prompts in, one logged answer a sample, a scored table out."""
