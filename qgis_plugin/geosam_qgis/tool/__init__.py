"""Click to segment: the map tool, what it draws, what it asks, and where its objects go."""
