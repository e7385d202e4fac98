"""The demonstration PACS: for demonstrations and tests only, on loopback only. It is no archive for patients."""
