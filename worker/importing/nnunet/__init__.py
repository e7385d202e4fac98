"""Import of trained nnU-Net v2 models."""
