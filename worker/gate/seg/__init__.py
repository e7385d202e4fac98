"""Gate checks of segmentations: form, segments, and that every voxel is where the model's mask has it."""
