"""Encoders, projectors, language models and the processor that feeds them. Import from the modules inside."""
