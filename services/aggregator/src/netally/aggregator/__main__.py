"""``python -m netally.aggregator``; with ``migrate`` it brings the database up to date and ends."""

import sys

from netally.aggregator.app import main
from netally.aggregator.migrate_command import main as migrate

if sys.argv[1:] == ["migrate"]:
    sys.exit(migrate())
main()
