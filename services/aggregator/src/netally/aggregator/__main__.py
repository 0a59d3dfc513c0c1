"""``python -m netally.aggregator``."""

from netally.aggregator.app import main

main()
