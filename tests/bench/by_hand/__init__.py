"""Each method by its own library, in the few lines of somebody who knows it: one file a library, found by listing."""
