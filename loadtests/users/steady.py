"""A user of everything, without pauses to speak of, for a server whose threads and workers are made to die."""

from loadtests.users.chat import ChatUser
from loadtests.users.events import EventsUser
from loadtests.users.people import BrowserUser, JsonApiUser, TransferUser


class SteadyUser(JsonApiUser, BrowserUser, TransferUser, EventsUser, ChatUser):
    """All that these do, as often as they do it in relation to each other. Think time up to 100 ms."""

    think_time = (0.0, 0.1)
    # As many as the other classes of a soak that behave well.
    weight = 6
