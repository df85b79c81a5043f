"""Accounts: names, passwords, the cookie of a session, and what holds up those who guess."""
