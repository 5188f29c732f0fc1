"""The sub-commands: one module each (or each group), with a function `register(app)`."""
