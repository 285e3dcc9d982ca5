"""``python -m ingest.simulator``."""

from ingest.simulator.cli import main

if __name__ == "__main__":
    main()
