"""The vsync engine: models, chunks, documents and the worker's loop, inside PL/Python or outside."""

__version__ = "0.1.0"
