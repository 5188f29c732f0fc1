"""The command line of vsync and everything that puts its SQL and its engine in place."""

from vsync_engine import __version__ as __version__
