"""What the entries of a manifest are written with: nets, input contracts, files, names of outputs; and their errors."""
