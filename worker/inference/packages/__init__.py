"""Model packages on the disk: read, verified, found again."""
