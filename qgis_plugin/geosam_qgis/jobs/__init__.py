"""What takes minutes: whole layers, and pictures of layers that are no files."""
