"""Methods that do to their process what libraries have done to theirs, one a file."""
