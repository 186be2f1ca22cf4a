"""Starts the server from its file, where nothing of this repository is on the path."""

import sys
from pathlib import Path

# Python has put this folder first, whose names must not stand before the user's own.
sys.path[0] = str(Path(__file__).resolve().parents[3])
from local.images.model_server.server import main  # noqa: E402

del sys.path[0]

if __name__ == "__main__":
    sys.exit(main())
