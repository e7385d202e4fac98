"""What Overread talks about: studies, volumes, findings, jobs. Standard library and numpy only."""
