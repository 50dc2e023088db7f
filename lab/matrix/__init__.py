"""Many runs: kernels times scenarios times machines, over a pool of workers, resumable, one line of JSON a cell."""

from lab.matrix.book import Book, Plan, Result, read
from lab.matrix.cells import Cell, cells
from lab.matrix.crew import Crew
from lab.matrix.selection import select

__all__ = ["Book", "Cell", "Crew", "Plan", "Result", "cells", "read", "select"]
