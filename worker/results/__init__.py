"""From findings to DICOM result objects (SEG, TID 1500 SR, text SR), and the gate that they must pass."""
