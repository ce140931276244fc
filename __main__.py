"""The console script, and `python -m batchlab`: Ctrl-C is answered before anything else is imported."""

from batchlab.runner import interrupts


def main() -> None:
    """Run the command line."""
    interrupts.answer_interrupts()
    from batchlab.runner.cli import main as command

    command()


if __name__ == "__main__":
    main()
