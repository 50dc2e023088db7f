"""A kernel and disks, turned into a running machine with a console, an agent and QMP."""
