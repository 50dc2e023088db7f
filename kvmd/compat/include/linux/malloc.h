/* A header of 2.3; what it offered is in old_names.h, which is read before. SPDX-License-Identifier: GPL-2.0-only */
