"""Import of MONAI bundles: their transforms become steps, what cannot be mapped is refused."""
