"""Files to instances, for the offline reader; and the time between the frames of a run."""
