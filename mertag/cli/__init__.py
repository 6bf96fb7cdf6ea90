"""The command line: parses, calls, renders. Nothing heavy is imported before a command is called."""

from mertag.cli.app import main

__all__ = ["main"]
