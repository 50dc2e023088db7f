"""What sizes a machine may have, for whoever asks before a machine is thought of."""

CPUS = range(1, 9)
RAM_MIB = range(4, 3073)
SWAP_MIB = range(1, 2048)  # the largest is what every kernel from 2.2 on takes
DEFAULT_SWAP_MIB = 96
