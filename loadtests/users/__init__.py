"""The users that Locust lets loose on the site of `loadtests/apps`, each with think times and checks of its answers."""
