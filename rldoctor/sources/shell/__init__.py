"""Launch scripts, read statically: the syntax tree is followed, nothing is executed."""
