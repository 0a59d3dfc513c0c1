"""Queries from the database, live samples from the bus, answers over HTTP.

In: HTTP requests; ``live.v1.*`` samples (core NATS); rows of the database, which this service never writes.
Out: the Structs of `netally.contracts.queries` as JSON, errors as ``application/problem+json`` (`Problem`).

Live stream, ``GET /api/live`` (``text/event-stream``), for a browser's EventSource or hx-sse: one message a second ::

    id: 1795305600000          epoch milliseconds, rising
    event: live                named, so that hx-sse raises a DOM event called "live" instead of swapping
    data: {"time": …}          one line of JSON, a `LiveEvent`

A first ``retry: 2000`` sets the pause before a reconnect. With ``Last-Event-ID`` (header) the messages after that id
come first, as far as the last 60 are kept. ``filter`` may ask for host, app, browser and domain. A reader that falls 15
messages behind is dropped, and each stream ends after an hour; browsers reconnect by themselves.

Sessions: ``POST /api/session/codes`` (bearer token) → `LoginCode`; ``POST /api/session`` {"code"} sets the cookie
``netally_session``; ``GET`` and ``DELETE /api/session``. Errors are 400, 401, 403, 404, 405, 409, 413, 422, 429, 503,
each a `Problem`; 422 is what the figures of the range cannot tell, 503 says what is waited for. Pages for people:
``/api/docs``; the document: ``/api/openapi.json``.
"""
