"""The scenarios that come with the lab; `kvmd-lab run` takes their names, plain pytest takes their files."""
