"""From known defects to the proof that the scenarios notice them: put back alone, each must fail its scenario."""

from lab.controls.hunt import Verdict, hunt, printed
from lab.controls.table import Control, load

__all__ = ["Control", "Verdict", "hunt", "load", "printed"]
