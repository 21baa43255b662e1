"""The users that Locust lets loose on a site, and what they share.

They know the site of `loadtests/apps` and check every answer against its catalogue; only `PathUser` takes any site.
"""
