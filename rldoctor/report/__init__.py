"""One report value, several renderings."""
