"""Run the command line as `python -m agents.cli`."""

from . import main

main()
