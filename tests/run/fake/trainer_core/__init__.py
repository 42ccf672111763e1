"""Stands in for the trainer in quick tests: it speaks the file protocol and trains nothing."""
