"""Jobs and deliveries: planned, leased, ended, and what is due."""
