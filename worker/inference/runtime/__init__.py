"""Where nets run: ONNX Runtime in this process, or a Triton server; devices, memory, telemetry."""
