"""What people and programs can see of a running system: logs now, metrics as they come."""
