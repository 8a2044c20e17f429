"""Fused executors of token plans. They know int tables, not plans. This file imports nothing and defines nothing."""
