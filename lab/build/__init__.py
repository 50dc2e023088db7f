"""A ported tree and configuration fragments, turned into an audited kernel in the cache."""

from lab.build.built import built, find
from lab.build.kernel import Kernel, Plan, build

__all__ = ["Kernel", "Plan", "build", "built", "find"]
