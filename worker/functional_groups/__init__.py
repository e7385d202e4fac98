"""What the functional groups of a multi-frame object say of each frame (PS3.3 C.7.6.16): for all that read headers."""
