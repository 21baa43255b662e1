"""The users and their options, as `locust -f loadtests/locustfile.py` loads them from the root of the repository.

The classes to run are named at the end of the command line; loadtests/README.md says what each of them does.
"""

from loadtests.users import options, samples
from loadtests.users.chaos import ChaosUser
from loadtests.users.chat import ChatUser
from loadtests.users.people import BrowserUser, JsonApiUser, MixedUser, PathUser, SiteUser
from loadtests.users.steady import SteadyUser
from loadtests.users.streams import EventsUser, TransferUser

__all__ = [
    "BrowserUser",
    "ChaosUser",
    "ChatUser",
    "EventsUser",
    "JsonApiUser",
    "MixedUser",
    "PathUser",
    "SiteUser",
    "SteadyUser",
    "TransferUser",
    "options",
    "samples",
]
