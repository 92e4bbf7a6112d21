"""Virtual RTSP cameras with known true times and injectable faults, for tests, demos and users without cameras."""

from syncsvc.cameras.farm import VirtualCameras, serve
from syncsvc.cameras.mount import CameraStats
from syncsvc.cameras.settings import CameraSpec, load_specs

__all__ = ["CameraSpec", "CameraStats", "VirtualCameras", "load_specs", "serve"]
