"""Models: their files, tokens, ONNX sessions and vectors."""
