"""How many instructions a request takes, which repeats exactly where times do not."""
