"""From the pixel data element to modality values."""
