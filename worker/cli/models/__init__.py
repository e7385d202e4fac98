"""``models``: list, check, begin, fetch, convert, measure and import model packages."""
