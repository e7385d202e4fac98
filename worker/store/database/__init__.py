"""The database: connections, tables, upgrades, and the one place where states change."""
