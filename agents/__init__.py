"""What acts in the search, and what is built with it."""
