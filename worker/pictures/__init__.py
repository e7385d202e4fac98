"""Pictures of conclusions for people at the console. They are no results: nothing of them is sent."""
