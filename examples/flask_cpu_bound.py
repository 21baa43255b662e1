"""A Flask view that only computes, to see the pool's threads run at once.

    threadserve examples.flask_cpu_bound:app --wsgi-threads 4
    time curl -Z --no-progress-meter 'http://127.0.0.1:8000/primes/200000?[1-4]'

On free-threaded Python four requests take little longer than one where there are four CPUs; with the GIL they take four
times as long. The most views that have been running together is told with each answer.
"""

import threading
from typing import Any

from flask import Flask

app = Flask(__name__)
lock = threading.Lock()
running = most = 0


def count_primes(limit: int) -> int:
    """How many primes there are below `limit`, found the slow way."""
    return sum(all(number % divisor for divisor in range(2, int(number**0.5) + 1)) for number in range(2, limit))


@app.get("/primes/<int:limit>")
def primes(limit: int) -> dict[str, Any]:
    """Computes, on the CPU alone."""
    global running, most
    with lock:
        running += 1
        most = max(most, running)
    try:
        return {"primes": count_primes(limit), "thread": threading.current_thread().name, "together": most}
    finally:
        with lock:
            running -= 1
