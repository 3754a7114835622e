"""Start the labeler: ``python -m services.labeler``."""

from services.labeler.app import main

if __name__ == "__main__":
    main()
