"""Pictures and pages of what was found, for people at the console. They are no results: nothing of them is sent."""
