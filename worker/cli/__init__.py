"""The command line: rich tables and progress for people, ``--json`` for programs."""
