"""What is known of cards, drivers and libraries, as data with its sources; checks apply it to a machine."""
