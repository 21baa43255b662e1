"""What a server counts and measures of itself. Loops count for themselves; whoever shows it adds up what it reads."""
