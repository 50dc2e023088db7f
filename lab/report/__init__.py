"""A run's journal, turned into terminal lines, JUnit, JSON and HTML."""
