"""A kernel's name or a user's tree, turned into a pristine source tree with a digest."""
