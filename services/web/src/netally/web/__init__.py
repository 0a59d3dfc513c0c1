"""The pages.

In: a browser's requests, and the answers of the API (``netally.contracts.queries``) read with that browser's own
cookie or token. Out: server-rendered HTML, one live stream of the same HTML, the vendored scripts and fonts, and
``/api/`` passed through, so that the browser sees one origin. Nothing is stored and nothing is counted here.
"""
