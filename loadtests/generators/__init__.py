"""What puts a server under load, each with what it reports."""
