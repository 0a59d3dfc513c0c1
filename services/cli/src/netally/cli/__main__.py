"""``python -m netally.cli`` is ``netally``."""

from netally.cli.main import main

main()
