"""The bounded scan of a data set: what the network process reads of an instance, and all that it reads."""
