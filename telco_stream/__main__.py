from telco_stream.runtime.gc_tuning import collect_rarely
from telco_stream.runtime.signals import end_on_ctrl_c


def main() -> None:
    """Run a command, as the installed script does."""
    end_on_ctrl_c()
    collect_rarely()
    from telco_stream.cli import main as run  # noqa: PLC0415 - a slow import, which Ctrl-C may interrupt

    run()


if __name__ == "__main__":
    main()
