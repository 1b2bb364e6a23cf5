"""How good a layer is, and a picture of it."""
