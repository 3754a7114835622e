"""``python -m services.inference``."""

from services.inference.app import main

if __name__ == "__main__":
    main()
