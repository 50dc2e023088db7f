"""kvmd-lab: historical kernels, ported to today's compilers, booted in QEMU and judged by Python."""
