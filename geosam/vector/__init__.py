"""Vector files in and out: an output appears complete or not at all, an input is not trusted.

From the ground up: `table` (features as columns), `frame` (tables of geopandas), `reading` (any vector file),
`polygons` (layers of valid polygons), `schema` (columns and their names), `wgs84` (longitude and latitude),
`gdal` (streams through GDAL), the formats `flatgeobuf`, `geojson`, `geopackage`, `parquet` and `shapefile`,
`formats` (the formats by extension), `staging` (outputs that appear complete or not at all), `buffer` (features that
wait on the disk), `checks` (of an output, before and after) and `writer` (batches in, one file out).
"""
