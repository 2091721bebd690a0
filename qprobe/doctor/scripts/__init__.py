"""What the methods do when they run: a layer with a known answer, a merge. Imported in their processes only."""
