"""``python -m recsys.cli``: the same as the command ``recsys``."""

from recsys.cli.entry import main

if __name__ == "__main__":
    main()
