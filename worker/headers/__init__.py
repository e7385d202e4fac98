"""Headers of stored instances: one bounded, strict parse, and one way of taking attributes out of it.

For routing, volumes and the evidence of results alike: what one of them reads, the others read. Two read for
themselves, on purpose: the listener (``intake.scan``), which is the process on the network, and the gate
(``gate.reading``), which judges what was made of all this.
"""
