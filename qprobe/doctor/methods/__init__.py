"""Every method that the doctor tries: one a file, found by listing the folder."""
