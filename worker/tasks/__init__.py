"""Celery: carries ids between processes and runs each use-case in a child process. Knows nothing else."""
