"""`threadserve --check`: finds what in an application will not work on several threads, without serving it."""
