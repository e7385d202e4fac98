"""Storage commitment (PS3.4 Annex J) in the ledger: what we asked for, and what we granted."""
