"""A document query understood: its root and key, what it reads, and how changes lead to the root."""
