"""Lets `python -m qprobe` be the command line."""

from qprobe.cli import main

main()
