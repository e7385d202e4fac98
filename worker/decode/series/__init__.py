"""From a series to a volume, or to the reason why it is none."""
