"""Programs made from the library."""
