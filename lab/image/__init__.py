"""The guest's C sources, turned into root and swap disks."""
