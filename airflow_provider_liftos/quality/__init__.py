"""Grading what was loaded before anybody sees it: rules, suites, score, decisions."""
