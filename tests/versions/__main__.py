"""Write docs/reference/documents.md: `python -m tests.versions`."""

from .page import PAGE, page

PAGE.write_text(page(), encoding="utf-8")
