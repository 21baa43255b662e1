"""What `locust -f loadtests/locustfile.py` loads, from the root of the repository: the users and the options for them.

The classes to run are named at the end of the command line; loadtests/README.md says what each of them does.
"""

from loadtests.users import options, samples
from loadtests.users.browser import BrowserUser
from loadtests.users.chat import ChatUser
from loadtests.users.events import EventsUser
from loadtests.users.json_api import JsonApiUser
from loadtests.users.mixed import MixedUser
from loadtests.users.path import PathUser
from loadtests.users.site import SiteUser
from loadtests.users.transfer import TransferUser

__all__ = [
    "BrowserUser",
    "ChatUser",
    "EventsUser",
    "JsonApiUser",
    "MixedUser",
    "PathUser",
    "SiteUser",
    "TransferUser",
    "options",
    "samples",
]
