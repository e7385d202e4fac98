"""Files of instances and results, named by their content, whole or not at all."""
