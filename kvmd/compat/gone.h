/*
 * A header of 2.3 that is gone today. Installed under each such name; what they offered is in old_names.h, which is
 * read before.
 *
 * SPDX-License-Identifier: GPL-2.0-only
 */
