"""One run: from volumes to a conclusion."""
