"""Vector files in and out: complete or not at all."""
