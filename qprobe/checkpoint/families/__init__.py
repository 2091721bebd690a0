"""What is known of the models of each type, one file each; every module here exports `FAMILY`."""
