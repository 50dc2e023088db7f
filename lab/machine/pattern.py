"""The seeded pattern of memory under test: kvmd/kvmdctl.h says it in C, and the guest and the kernel compile that."""

from __future__ import annotations

import struct

PAGE_SIZE = 4096
PAGE_WORDS = PAGE_SIZE // 4
STEP = 0x9E3779B9
_MASK = 0xFFFFFFFF


def page_start(seed: int, page: int) -> int:
    """Return the first word (u32) of page number `page` under `seed`."""
    mix = (seed * 0x85EBCA6B + page * 0xC2B2AE35 + 0x27D4EB2F) & _MASK
    mix ^= mix >> 15
    mix = mix * 0x2C1B3C6D & _MASK
    return mix ^ mix >> 13


def word(seed: int, page: int, index: int) -> int:
    """Return word number `index` (0..1023) of a page, a u32."""
    return (page_start(seed, page) + index * STEP) & _MASK


def page(seed: int, number: int) -> bytes:
    """Return the 4096 bytes of page `number` under `seed`."""
    start = page_start(seed, number)
    return struct.pack(f"<{PAGE_WORDS}I", *((start + index * STEP) & _MASK for index in range(PAGE_WORDS)))
