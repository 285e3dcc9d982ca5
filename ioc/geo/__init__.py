"""Where things are: wards, main roads and traffic-camera points of Thủ Đức.

The figures are small JSON tables beside this file; each states its source and licence. Coordinates are WGS 84
degrees; functions take ``(lat, lon)``, GeoJSON carries ``[lon, lat]``.
"""

from ioc.geo.cameras import CameraPoint, camera_points
from ioc.geo.editions import EDITIONS, Edition, OldWard, became, edition_on, old_wards
from ioc.geo.geojson import FeatureCollection, roads_geojson, wards_geojson
from ioc.geo.roads import Road, roads
from ioc.geo.wards import BBOX, Ward, bounding_box, nearest_ward, ward_at, ward_by_code, ward_of, wards

__all__ = [
    "BBOX",
    "EDITIONS",
    "CameraPoint",
    "Edition",
    "FeatureCollection",
    "OldWard",
    "Road",
    "Ward",
    "became",
    "bounding_box",
    "camera_points",
    "edition_on",
    "nearest_ward",
    "old_wards",
    "roads",
    "roads_geojson",
    "ward_at",
    "ward_by_code",
    "ward_of",
    "wards",
    "wards_geojson",
]
