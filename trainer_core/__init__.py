"""A small RL trainer: sample, score, credit, update, sync. Usable without the doctor."""
