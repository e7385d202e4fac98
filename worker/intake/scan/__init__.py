"""The bounded scan of a data set: what the network process reads of an instance, and all that it reads.

Not with ``worker.headers``, on purpose: nobody has looked at these bytes yet, and a walk that recurses nowhere and
keeps a few values is all that the process on the network does with them.
"""
