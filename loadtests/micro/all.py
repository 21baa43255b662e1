"""Every micro-benchmark, in the order of the table."""

from loadtests.micro.conversations import CONVERSATIONS
from loadtests.micro.parts import PARTS, REFERENCE

BENCHMARKS = {each.name: each for each in (REFERENCE, *CONVERSATIONS, *PARTS)}
