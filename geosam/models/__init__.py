"""The segmenters that geosam ships, and the names they are loaded by."""
