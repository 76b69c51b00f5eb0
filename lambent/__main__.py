"""``python -m lambent`` is the command ``lambent``."""

import sys

from lambent.cli import main

sys.exit(main())
