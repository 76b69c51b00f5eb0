"""``lambent verify``: is all that a finished run left what a slow replay of its log gives?

evidence   what the store and the archive hold, by partition
logs       is the archived log whole, does it agree with the streams, and with what producers say that they sent?
reference  the log once more, event by event and user by user, in plain Python
records    live records against the reference
answers    intents, archived, streamed and newest, against the reference
checks     all of it for one system
command    the command line
"""
