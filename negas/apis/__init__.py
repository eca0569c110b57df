"""What commands and users' scripts call."""
