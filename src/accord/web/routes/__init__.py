"""The routes, one file a subject. Each has a `router`; `web.app` names them all."""
