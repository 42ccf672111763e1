"""What a run holds on GPU, host and disk, phase by phase: closed formulas, each with its source."""
