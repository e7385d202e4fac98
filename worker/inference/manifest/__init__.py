"""The manifest of a model package: what it says, what must agree in it, its schema, its card."""
