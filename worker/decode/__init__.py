"""From stored bytes to the domain: headers, pixels, volumes. pydicom and its decoders live here."""
