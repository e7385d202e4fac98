"""What is kept, and what is known of it: spool, index, ledger, outbox. SQLAlchemy lives here."""
