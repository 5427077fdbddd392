"""One address for many: a group serves the tools, prompts and resources of several MCPs as one server.

There is no client in between. A message that names a tool gets the member's own name put into its bytes, and goes through the steps that it
would go through at the member's address (`http/admission.py`), to a session of that member's: so rules for callers, limits, audit, metrics,
profile, isolation and eras are the member's, and the answer leaves by the group's own outbox as the member's relay wrote it.

service.py    a group, as the transports see it    names.py     what it calls things, and of whom a name is
admission.py  what a message goes through          seats.py     the sessions with its members that one session has
routes.py     which member a message is for        lists.py     what all of them offer, as one list
listens.py    subscriptions of the modern era      greeting.py  what it says of itself
member.py     one member                           asked.py     what it asks a member for itself
context.py    what its parts need of it            plan.py      what the operator wrote
"""
