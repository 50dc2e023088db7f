"""Many runs: kernels times scenarios times machines, over a pool of workers, resumable, one line of JSON a cell."""

from lab.matrix.cells import Cell, cells
from lab.matrix.executor import LocalExecutor
from lab.matrix.selection import select
from lab.matrix.store import CellResult, MatrixPlan, ResultStore, read

__all__ = ["Cell", "CellResult", "LocalExecutor", "MatrixPlan", "ResultStore", "cells", "read", "select"]
