from ingest.service import main as serve
from ioc.service import run


def main() -> None:
    """Run ingest."""
    run(serve)


if __name__ == "__main__":
    main()
