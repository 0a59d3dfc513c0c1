"""``python -m netally.web``."""

from netally.web.app import main

main()
