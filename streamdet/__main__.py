"""``python -m streamdet``: the same as the command ``streamdet``."""

from streamdet.cli import main

main()
