"""Vector files in and out: an output appears complete or not at all, an input is read with every precaution.

From the ground up: `table` (features as columns), `frame` (tables of geopandas), `reading` (any vector file),
`polygons` (layers of valid polygons), `schema` (columns and their names), `wgs84` (longitude and latitude),
`gdal` (streams through GDAL), the formats `flatgeobuf`, `geojson`, `geopackage`, `parquet` and `shapefile`,
`formats` (the formats by extension), `staging` (complete or not at all), `buffer` (features that wait), `checks`
(refusals before the work begins) and `writer` (batches in, one file out).
"""
