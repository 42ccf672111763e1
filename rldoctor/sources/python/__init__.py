"""Reading and editing of Python launchers: their texts are followed by their syntax, nothing is run."""
