"""What stands between clients and the server, and what is believed of it."""
