"""From the bytes of an instance to attributes: bounded, strict, without pixels."""
