"""The servers under load: their command lines, interpreters, processes and memory."""
