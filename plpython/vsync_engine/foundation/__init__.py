"""Errors, sessions, statements and lexical rules: what every other package builds on."""
