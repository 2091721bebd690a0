"""Runs the script of a method in a process of its own, under limits, and hears what it reports."""
