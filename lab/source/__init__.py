"""A kernel's name or a user's tree, turned into a pristine source tree with a digest."""

from lab.source.catalogue import KernelSpec, is_of_today, is_series, kernels, shape_of
from lab.source.choice import Choice, choose
from lab.source.obtain import Where, at_hand, known, locate, obtain, release_server_answers, version_at
from lab.source.tree import Tree

__all__ = [
    "Choice",
    "KernelSpec",
    "Tree",
    "Where",
    "at_hand",
    "choose",
    "is_of_today",
    "is_series",
    "kernels",
    "known",
    "locate",
    "obtain",
    "release_server_answers",
    "shape_of",
    "version_at",
]
