"""A ported tree and configuration fragments, turned into an audited kernel in the cache."""
