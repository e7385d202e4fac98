"""From findings to DICOM result objects (SEG, TID 1500 SR, text SR, key images and their companions)."""
