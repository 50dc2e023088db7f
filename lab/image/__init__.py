"""The guest's C sources, turned into root and swap disks."""

from lab.image.assemble import Image, build
from lab.image.swap import swap_disk

__all__ = ["Image", "build", "swap_disk"]
