"""Sets up a real ComfyUI beside this pack and runs it: `python3 dev.py demo | test | lint | bench | serve`.

Needs Python 3.10 or newer and nothing else; `python3 dev.py --help` says more.
"""

import sys

if sys.version_info < (3, 10):
    sys.exit(
        "This is Python %d.%d; the host needs Python 3.10 or newer. "
        "Run dev.py with a newer one, for instance: python3.12 dev.py demo" % sys.version_info[:2]
    )

from devtools.cli import main  # noqa: E402  (an old Python must read the line above first)

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
