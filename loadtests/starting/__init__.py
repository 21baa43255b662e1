"""How long a server takes to start, and how much memory it has then, by the number of its threads."""
