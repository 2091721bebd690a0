"""The command line: parse, call one function of the flow, print."""

from __future__ import annotations


def main() -> None:
    """Run the command line and exit with its status."""
    from qprobe.cli.commands import qprobe

    qprobe.main()
