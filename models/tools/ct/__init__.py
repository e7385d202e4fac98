"""CTs of the samples with their labels, and lungs by rule where there are none."""
