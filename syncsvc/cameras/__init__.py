"""Virtual RTSP cameras with known true times and injectable faults, for tests, demos and users without cameras."""

from syncsvc.cameras.farm import VirtualCameras, serve
from syncsvc.cameras.mount import CameraStats
from syncsvc.cameras.session import SessionStats
from syncsvc.cameras.settings import CameraSpec, Event, load_specs, parse_specs

__all__ = [
    "CameraSpec",
    "CameraStats",
    "Event",
    "SessionStats",
    "VirtualCameras",
    "load_specs",
    "parse_specs",
    "serve",
]
