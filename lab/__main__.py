"""`python -m lab` is `kvmd-lab`."""

from lab.cli import main

if __name__ == "__main__":  # a process that Python spawns imports this file too
    main()
