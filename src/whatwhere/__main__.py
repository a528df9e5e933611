"""`python -m whatwhere`, and what torchrun starts."""

import sys

from whatwhere.commands import main

sys.exit(main())
