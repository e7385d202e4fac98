"""From stored instances to the domain: summaries of series, pixels, volumes. The decoders of pydicom live here."""
