"""`python -m lab` is `kvmd-lab`."""

from lab.cli import main

main()
