"""``python -m mertag`` is ``mertag``."""

from mertag.cli import main

if __name__ == "__main__":
    main()
