"""Gate checks of what is there to be looked at: key images, key objects, heat maps, presentation states."""
