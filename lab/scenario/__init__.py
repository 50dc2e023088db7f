"""A running machine, turned into measurements and asserts: the pytest plugin, the kvmd client, the scenarios."""
