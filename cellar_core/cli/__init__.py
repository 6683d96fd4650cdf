"""The command line: ``cellar …``. Each module adds its commands to the app when it is imported here."""

from cellar_core.cli import keep, find, trace, decide, train, tend, files  # noqa: F401, I001 - in the order that the help shows
from cellar_core.cli.app import app, main

__all__ = ["app", "main"]
