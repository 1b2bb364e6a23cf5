"""A picture seen once, kept."""
