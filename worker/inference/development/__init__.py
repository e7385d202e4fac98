"""What a model developer needs: a new package, a trial of it, and variants of its weights."""
