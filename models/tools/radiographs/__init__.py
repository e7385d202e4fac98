"""Radiographs that are projected from CTs: how they are made, trained on and evaluated on."""
