"""What must hold for the parsed tables before they become a snapshot, checked and reported."""
