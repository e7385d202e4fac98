"""Importers: from a trained model of a framework to a model package, with a report that both say the same."""
