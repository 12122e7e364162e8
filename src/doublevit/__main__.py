"""`python -m doublevit`, which is also what `accelerate launch -m doublevit` runs on several processes."""

from doublevit.cli import main

if __name__ == "__main__":
    main()
