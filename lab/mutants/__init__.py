"""From known defects to the proof that the scenarios notice them: put back alone, each must fail its scenario."""

from lab.mutants.hunt import Judgement, hunt, printed
from lab.mutants.table import Mutant, load

__all__ = ["Judgement", "Mutant", "hunt", "load", "printed"]
