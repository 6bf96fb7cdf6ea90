"""The command line: parses, calls, renders. Nothing heavy is imported before a command is called."""

from mertag.cli.app import app, main

__all__ = ["app", "main"]
