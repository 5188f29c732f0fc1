"""vsync beside pgai: the same rows, the same model, the same server, in turn."""
