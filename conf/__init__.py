"""Hold the YAML configuration of every command, and the strict builder that turns it into frozen dataclasses."""
