"""Model packages and their inference: manifest, steps, ONNX Runtime sessions, predictor."""
