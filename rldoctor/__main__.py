"""``python -m rldoctor``."""

from rldoctor.cli import main

main()
